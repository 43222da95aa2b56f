#include "core/ranges.h"

#include <stdlib.h>
#include <string.h>

void ranges_fini(struct ranges *r)
{
	free(r->list);
	*r = (struct ranges){ 0 };
}

size_t ranges_place(const struct ranges *r, uint64_t number)
{
	size_t low = 0, high = r->count;
	if (high > 0 && r->list[high - 1].end < number)
		return high; /* mostly: they come in order */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (r->list[middle].end < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int open_at(struct ranges *r, size_t at)
{
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 4;
		struct range *more = realloc(r->list, room * sizeof(*more));
		if (!more)
			return OV_ENOMEM;
		r->list = more;
		r->room = room;
	}
	memmove(&r->list[at + 1], &r->list[at], (r->count - at) * sizeof(r->list[0]));
	r->count++;
	return OV_OK;
}

static void close_up(struct ranges *r, size_t at, size_t count)
{
	if (count == 0)
		return;
	memmove(&r->list[at], &r->list[at + count], (r->count - at - count) * sizeof(r->list[0]));
	r->count -= count;
}

int ranges_add(struct ranges *r, uint64_t first, uint64_t end, size_t max)
{
	assert(first < end);
	size_t at = ranges_place(r, first), last = at;
	while (last < r->count && r->list[last].first <= end)
		last++; /* [at, last) touch the new one */
	if (at == last) {
		if (r->count >= max)
			return OV_EFULL;
		int err = open_at(r, at);
		if (err == OV_OK)
			r->list[at] = (struct range){ .first = first, .end = end };
		return err;
	}
	struct range *one = &r->list[at];
	if (first < one->first)
		one->first = first;
	if (end < r->list[last - 1].end)
		end = r->list[last - 1].end;
	if (end > one->end)
		one->end = end;
	close_up(r, at + 1, last - at - 1);
	return OV_OK;
}

void ranges_forget_below(struct ranges *r, uint64_t limit)
{
	size_t gone = 0;
	while (gone < r->count && r->list[gone].end <= limit)
		gone++;
	close_up(r, 0, gone);
	if (r->count > 0 && r->list[0].first < limit)
		r->list[0].first = limit;
}

int ranges_remove(struct ranges *r, uint64_t first, uint64_t end)
{
	size_t at = ranges_place(r, first);
	if (at < r->count && r->list[at].first < first && r->list[at].end > end) {
		int err = open_at(r, at);
		if (err != OV_OK)
			return err;
		r->list[at] = (struct range){ .first = r->list[at + 1].first, .end = first };
		r->list[at + 1].first = end;
		return OV_OK;
	}
	if (at < r->count && r->list[at].first < first) {
		if (r->list[at].end > first)
			r->list[at].end = first;
		at++;
	}
	size_t last = at;
	while (last < r->count && r->list[last].end <= end)
		last++;
	close_up(r, at, last - at);
	if (at < r->count && r->list[at].first < end)
		r->list[at].first = end;
	return OV_OK;
}

bool ranges_has(const struct ranges *r, uint64_t number)
{
	return number < UINT64_MAX && ranges_cover(r, number, number + 1);
}

bool ranges_cover(const struct ranges *r, uint64_t first, uint64_t end)
{
	size_t at = ranges_place(r, first);
	if (at < r->count && r->list[at].end == first)
		at++; /* touches it from below */
	return at < r->count && r->list[at].first <= first && r->list[at].end >= end;
}
