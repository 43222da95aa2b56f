/* NAT-PMP (RFC 6886) through libnatpmp: the router's address, then the mapping. The library repeats
 * a request after 250 ms, then doubling, nine times; we wait for three of them. */
#include "tools/portmap.h"

#include <errno.h>
#include <natpmp.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define TRY_MS 1750 /* as discovery/portmap.c asks PCP: 250 + 500 + 1000 */

static int64_t clock_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 0: out is the answer; else NATPMP_ERR_*, NATPMP_TRYAGAIN for silence. */
static int wait_answer(natpmp_t *p, natpmpresp_t *out)
{
	int64_t end = clock_ms() + TRY_MS;
	for (;;) {
		struct timeval wait;
		int64_t left = end - clock_ms();
		if (left <= 0)
			return NATPMP_TRYAGAIN;
		if (getnatpmprequesttimeout(p, &wait) != 0)
			return NATPMP_ERR_NOPENDINGREQ;
		int64_t until = (int64_t)wait.tv_sec * 1000 + wait.tv_usec / 1000 + 1;
		until = until < 0 ? 0 : until;
		struct pollfd fd = { .fd = p->s, .events = POLLIN };
		if (poll(&fd, 1, (int)(until < left ? until : left)) < 0 && errno != EINTR)
			return NATPMP_ERR_SOCKETERROR;
		int rc = readnatpmpresponseorretry(p, out);
		if (rc != NATPMP_TRYAGAIN)
			return rc;
	}
}

/* 0, or the result that it means; result codes of RFC 6886 3.5 go into *code. */
static enum portmap_result failure(int rc, uint16_t *code)
{
	switch (rc) {
	case NATPMP_TRYAGAIN:
	case NATPMP_ERR_NOGATEWAYSUPPORT: return PORTMAP_SILENT;
	case NATPMP_ERR_UNSUPPORTEDVERSION: *code = 1; return PORTMAP_REFUSED;
	case NATPMP_ERR_NOTAUTHORIZED: *code = 2; return PORTMAP_REFUSED;
	case NATPMP_ERR_NETWORKFAILURE: *code = 3; return PORTMAP_REFUSED;
	case NATPMP_ERR_OUTOFRESOURCES: *code = 4; return PORTMAP_REFUSED;
	case NATPMP_ERR_UNSUPPORTEDOPCODE: *code = 5; return PORTMAP_REFUSED;
	default: return PORTMAP_FAILED;
	}
}

static int ask_address(natpmp_t *p, struct portmap_answer *a)
{
	natpmpresp_t r;
	int rc = sendpublicaddressrequest(p);
	rc = rc < 0 ? rc : wait_answer(p, &r);
	if (rc == NATPMP_ERR_NETWORKFAILURE) /* RFC 6886 3.5: it has no address itself */
		a->external = addr_v4(0, 0, 0, 0, 0);
	if (rc != 0)
		return rc;
	if (r.type != NATPMP_RESPTYPE_PUBLICADDRESS)
		return NATPMP_ERR_UNDEFINEDERROR;
	uint8_t ip[4];
	memcpy(ip, &r.pnu.publicaddress.addr, sizeof(ip));
	a->external = addr_v4(ip[0], ip[1], ip[2], ip[3], 0);
	return 0;
}

static int ask_mapping(natpmp_t *p, const struct portmap_request *r, struct portmap_answer *a)
{
	natpmpresp_t out;
	int rc = sendnewportmappingrequest(p, NATPMP_PROTOCOL_UDP, r->local.port,
		r->lifetime_s ? r->external_port : 0, r->lifetime_s);
	rc = rc < 0 ? rc : wait_answer(p, &out);
	if (rc != 0)
		return rc;
	bool ours = out.type == NATPMP_RESPTYPE_UDPPORTMAPPING &&
		    out.pnu.newportmapping.privateport == r->local.port;
	if (!ours || (r->lifetime_s && !out.pnu.newportmapping.lifetime))
		return NATPMP_ERR_UNDEFINEDERROR;
	a->external.port = out.pnu.newportmapping.mappedpublicport;
	a->lifetime_s = out.pnu.newportmapping.lifetime;
	a->epoch_s = out.epoch;
	return 0;
}

void portmap_natpmp(const struct portmap_request *r, struct portmap_answer *a)
{
	natpmp_t p;
	in_addr_t gateway;
	memcpy(&gateway, r->gateway.ip + 12, sizeof(gateway));
	if (initnatpmp(&p, 1, gateway) != 0)
		return;
	int rc = r->lifetime_s ? ask_address(&p, a) : 0;
	if (rc == 0)
		rc = ask_mapping(&p, r, a);
	a->result = rc == 0 ? PORTMAP_DONE : failure(rc, &a->code);
	if (a->result == PORTMAP_DONE && (addr_is_any(&a->external) || !a->external.port))
		a->result = PORTMAP_FAILED;
	closenatpmp(&p);
}
