/* The one table of subcommands: usage, per-command help, parsing and dispatch all read it. */
#include "tools/cmd.h"

#define PEER_HELP "PEER is a name (overlay peer list) or a PeerId of 56 characters.\n\n"

/* clang-format off */
const struct command commands[] = {
{ "id", "", "print this machine's PeerId and overlay address",
  "Give the PeerId to the other machine: it is all that is needed to reach this one.\n\n"
  "  overlay id\n"
  "  overlay id --short          only the PeerId, for scripts\n",
  0, 0, { { "--short", 's', NULL, "only the PeerId" } }, cmd_id },
{ "status", "", "show the daemon, its peers and their paths",
  "One peer takes two lines: state and traffic, then the path in use. A third says what waits.\n\n"
  "  overlay status\n"
  "  overlay status --json | jq -r '.peers[] | select(.state==\"up\") | .name'\n",
  0, 0, { { NULL, 0, NULL, NULL } }, cmd_status },
{ "peer add", "NAME PEERID [ENDPOINT...]", "add a contact, and call it at once",
  "NAME is your nickname for it. An ENDPOINT is where it listens: 1.2.3.4:27182, [2001:db8::1]:27182\n"
  "or host.example:27182; with tcp: in front its TCP port (tcp:host.example:443). A new contact may ping us (icmp) and send messages; more by --allow.\n"
  "Again with the same NAME and PEERID adds endpoints and grants.\n\n"
  "  overlay peer add laptop PEERID 192.168.1.7:27182\n"
  "  overlay peer add server PEERID server.example:27182 --allow tcp/22,tcp/443\n"
  "  overlay ping laptop         does it answer?\n",
  2, 18, { { "--allow", 'a', "LIST", "grants: icmp tcp/PORT udp/PORT all service:NAME message ..." },
	   { "--lan-only", 'l', NULL, "reach it on networks of this machine only (peer lan-only)" } },
  cmd_peer_add },
{ "peer list", "", "list contacts, their addresses and what they may do",
  "  overlay peer list\n", 0, 0, { { NULL, 0, NULL, NULL } }, cmd_peer_list },
{ "peer show", "PEER", "show one contact: paths, candidates, keys, grants",
  PEER_HELP "  overlay peer show laptop\n", 1, 1, { { NULL, 0, NULL, NULL } }, cmd_peer_show },
{ "peer rename", "PEER NAME", "give a contact another name",
  PEER_HELP "  overlay peer rename laptop old-laptop\n", 2, 2, { { NULL, 0, NULL, NULL } },
  cmd_peer_rename },
{ "peer remove", "PEER", "forget a contact; it gets no answer any more",
  PEER_HELP "  overlay peer remove old-laptop\n", 1, 1, { { NULL, 0, NULL, NULL } }, cmd_peer_remove },
{ "peer allow", "PEER GRANT...", "allow a contact more, or less with --remove",
  PEER_HELP
  "Grants: icmp, tcp/PORT, udp/PORT, all, service:NAME, message, relay, introduce, store, exit.\n"
  "Answers to what this machine opened always pass; a grant is for what the peer opens.\n\n"
  "  overlay peer allow laptop tcp/22\n"
  "  overlay peer allow laptop tcp/22,udp/53\n"
  "  overlay peer allow laptop --remove tcp/22\n",
  2, 64, { { "--remove", 'r', NULL, "take the grants away" } }, cmd_peer_allow },
{ "peer lan-only", "PEER on|off", "keep a contact to the networks this machine is on",
  PEER_HELP
  "on: it is called and answered at addresses of the local network alone. No facilitator hears of it, no\n"
  "relay carries it, and a call from outside gets no answer. `overlay why` then says `policy`.\n"
  "For all contacts: the key \"lan_only\" of the configuration (overlayd --lan-only).\n\n"
  "  overlay peer lan-only printer on\n",
  2, 2, { { NULL, 0, NULL, NULL } }, cmd_peer_lan_only },
{ "peer requests", "", "list strangers who want to become contacts",
  "They are listed while this machine is visible (overlay visible 10m) or \"pairing\" is on in the\n"
  "configuration. Compare the PeerId with what `overlay id` prints there before you accept.\n\n"
  "  overlay peer requests\n", 0, 0, { { NULL, 0, NULL, NULL } }, cmd_peer_requests },
{ "peer accept", "PEERID [NAME]", "make a stranger who asked a contact",
  "  overlay peer requests\n"
  "  overlay peer accept PEERID laptop --allow tcp/22\n",
  1, 2, { { "--allow", 'a', "LIST", "grants beside icmp and message" } }, cmd_peer_accept },
{ "peer refuse", "PEERID", "drop the request of a stranger",
  "  overlay peer refuse PEERID\n", 1, 1, { { NULL, 0, NULL, NULL } }, cmd_peer_refuse },
{ "invite list", "", "list the invites that nobody has used yet",
  "  overlay invite list\n", 0, 0, { { NULL, 0, NULL, NULL } }, cmd_invite_list },
{ "invite revoke", "ID", "make an invite worthless",
  "  overlay invite list\n"
  "  overlay invite revoke 3f9a01bc\n",
  1, 1, { { NULL, 0, NULL, NULL } }, cmd_invite_revoke },
{ "invite", "", "print a line that makes another machine a contact",
  "One line, one word, and the same as QR code. On the other machine: overlay join LINE. Then both are\n"
  "contacts and connect, with no further step. It is good for one machine, once, until it expires; who\n"
  "reads it can use it, so send it by a way you trust.\n\n"
  "  overlay invite --name laptop\n"
  "  overlay invite --name server --expires 15m --allow tcp/22\n"
  "  overlay invite list         those that nobody has used yet; overlay invite revoke ID ends one\n",
  0, 0, { { "--name", 'n', "NAME", "name for who joins (else peer- and its PeerId's begin)" },
	  { "--as", 0, "NAME", "what the other machine shall call this one (else the host name)" },
	  { "--expires", 'e', "TIME", "15m, 12h, 1d ... (default 1d, at most 365d)" },
	  { "--allow", 'a', "LIST", "grants beside icmp and message" },
	  { "--qr", 0, NULL, "print the QR code also where no terminal is" },
	  { "--no-qr", 0, NULL, "only the line" } }, cmd_invite },
{ "join", "LINE", "become a contact of the machine that printed LINE",
  "LINE comes from `overlay invite`. The inviter may ping this machine (icmp) and send messages;\n"
  "more by --allow. When it cannot be reached now, it is tried until the invite expires.\n\n"
  "  overlay join overlay:ae7q...\n"
  "  overlay join overlay:ae7q... --name desk --allow tcp/22\n"
  "  overlay join - < line       where other users of this machine must not see it\n",
  1, 1, { { "--name", 'n', "NAME", "name for the inviter (else what it calls itself)" },
	  { "--allow", 'a', "LIST", "grants beside icmp and message" },
	  { "--wait", 'w', "SEC", "how long to wait for the connection (default 10)" } }, cmd_join },
{ "visible", "[DURATION|off]", "show this machine on the LAN for a while",
  "Name and PeerId are seen by everybody on the networks of this machine, and requests of strangers\n"
  "are taken: overlay peer requests. It ends by itself, or when overlayd stops. Without an argument:\n"
  "is it visible now?\n\n"
  "  overlay visible 10m         at most 1d\n"
  "  overlay visible off\n",
  0, 1, { { "--as", 0, "NAME", "the name to show (else the host name)" } }, cmd_visible },
{ "nearby", "", "list who shows itself on the LAN now",
  "The name is what that machine says of itself; the PeerId is what counts.\n\n"
  "  overlay nearby\n"
  "  overlay peer add laptop PEERID      then, there: overlay peer requests\n",
  0, 0, { { NULL, 0, NULL, NULL } }, cmd_nearby },
{ "why", "PEER", "say in one sentence why a peer is reached the way it is",
  PEER_HELP "  overlay why laptop\n", 1, 1, { { NULL, 0, NULL, NULL } }, cmd_why },
{ "netcheck", "", "say what NAT stands before this machine (RFC 4787)",
  "Asks nothing new. Facilitators told the kind of NAT when this machine registered with them; how\n"
  "long it remembers an idle connection is measured in the minutes after, once a day and network,\n"
  "and decides how often keepalives are sent. Also says whether the network has a login page in the\n"
  "way, and by which prefix IPv4 is reached where there is IPv6 only.\n\n"
  "  overlay netcheck\n", 0, 0, { { NULL, 0, NULL, NULL } }, cmd_netcheck },
{ "facilitator status", "", "show who serves this machine, and whom it serves",
  "A facilitator tells peers where others are and relays between those that cannot meet directly.\n"
  "Ours are the key \"facilitators\", and what contacts offer. Every overlayd can be one: overlayd\n"
  "--facilitator serves its contacts, --facilitator-policy invite their guests as well, open anybody.\n\n"
  "  overlay facilitator status\n", 0, 0, { { NULL, 0, NULL, NULL } }, cmd_facilitator_status },
{ "ping", "PEER", "measure the path to a peer",
  PEER_HELP
  "Authenticated: an answer proves that the peer is who its key says. Shows the path, the round\n"
  "trip and our own address as the peer observes it. Ctrl-C ends it with the summary.\n"
  "Exit code 5 when no answer came.\n\n"
  "  overlay ping laptop\n"
  "  overlay ping -c 3 -i 0.2 laptop\n",
  1, 1, { { "--count", 'c', "N", "stop after N pings (default 4; 0: go on until Ctrl-C)" },
	  { "--interval", 'i', "SEC", "time between pings (default 1)" },
	  { "--timeout", 'W', "SEC", "how long to wait for each answer (default 5)" } }, cmd_ping },
{ "watch", "[EVENT...]", "print events as they happen, one per line",
  "Events: peer.up peer.down peer.request peer.nearby path.changed address.changed\n"
  "portmap.changed sleep.resumed service.opened service.closed event.lost\n\n"
  "  overlay watch\n"
  "  overlay watch --json peer.up peer.down | while read -r e; do ...; done\n",
  0, 16, { { NULL, 0, NULL, NULL } }, cmd_watch },
{ "serve", "NAME TARGET", "offer a program of this machine to peers, as a service",
  "Peers reach NAME by `overlay forward`, `overlay pipe` or a program of theirs; only those with the grant\n"
  "service:NAME do. Each of their streams becomes a connection to TARGET: PORT (of this machine), HOST:PORT,\n"
  "[v6]:PORT, or the path of a Unix socket (unix:PATH). Lasts until Ctrl-C; open streams stay.\n\n"
  "  overlay serve ssh 22\n"
  "  overlay peer allow laptop service:ssh\n"
  "  overlay serve web 192.168.1.7:80\n"
  "  overlay serve docker /run/docker.sock\n",
  2, 2, { { NULL, 0, NULL, NULL } }, cmd_serve },
{ "forward", "LOCAL PEER:SERVICE", "listen here, connect each client to a service of a peer",
  PEER_HELP
  "LOCAL is PORT (of this machine alone, both families; 0: any free one), HOST:PORT, [v6]:PORT, or the path of a\n"
  "Unix socket (unix:PATH; only you may connect to it). Whoever can connect to LOCAL acts as this machine.\n"
  "Lasts until Ctrl-C; open connections stay.\n\n"
  "  overlay forward 2222 laptop:ssh       then: ssh -p 2222 localhost\n"
  "  overlay forward [::1]:8080 server:web\n"
  "  overlay forward ./docker.sock server:docker\n",
  2, 2, { { "--timeout", 'W', "SEC", "how long the peer may take to accept (default 30)" } }, cmd_forward },
{ "pipe", "PEER SERVICE", "connect standard input and output to a service of a peer",
  PEER_HELP
  "Ends when both directions have ended. Exit code 5 when the peer was not reached, 4 when it does not\n"
  "allow it, 1 when the stream was cut. Nothing but the stream is written to standard output.\n\n"
  "  ssh -o ProxyCommand='overlay pipe %h ssh' laptop\n"
  "  overlay pipe server backup < photos.tar\n",
  2, 2, { { "--timeout", 'W', "SEC", "how long the peer may take to accept (default 30)" } }, cmd_pipe },
{ "hosts", "", "write NAME.overlay lines into the hosts file",
  "Keeps a block between `# overlay begin` and `# overlay end`, so that `ssh laptop.overlay` works.\n"
  "The file is replaced in one step and keeps mode and owner; other lines stay as they are.\n\n"
  "  sudo overlay hosts\n"
  "  sudo overlay hosts --remove\n"
  "  overlay hosts --dry-run     print the block, change nothing\n",
  0, 0, { { "--file", 'f', "FILE", "instead of /etc/hosts" },
	  { "--remove", 'r', NULL, "take the block out" },
	  { "--dry-run", 'n', NULL, "print, do not write" } }, cmd_hosts },
{ "config check", "[FILE]", "check a configuration file without starting anything",
  "Without FILE: OVERLAY_CONFIG, else /etc/overlay/overlay.json (root) or\n"
  "$XDG_CONFIG_HOME/overlay/overlay.json.\n\n"
  "  overlay config check /etc/overlay/overlay.json\n",
  0, 1, { { NULL, 0, NULL, NULL } }, cmd_config_check },
{ "version", "", "print the versions of overlay and overlayd",
  "  overlay version\n", 0, 0, { { NULL, 0, NULL, NULL } }, cmd_version },
};
/* clang-format on */
const size_t command_count = sizeof(commands) / sizeof(commands[0]);
