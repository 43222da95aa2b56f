/* Names of the drop reasons, from the one list in drop.h. */
#include "core/drop.h"

#include "core/base.h"

const char *drop_name(enum drop why)
{
	static const char *const names[] = {
#define X(name, text) [name] = text,
		DROP_REASONS(X)
#undef X
	};
	assert(why < DROP_REASON_COUNT);
	return names[why];
}
