/* One list (OV_ERRORS) defines code and text of every error, so the two cannot drift apart. */
#include "core/base.h"

const char *ov_err_text(int err)
{
	switch (err) {
#define X(name, code, text) \
	case name: return text;
		OV_ERRORS(X)
#undef X
	}
	return "unknown error";
}
