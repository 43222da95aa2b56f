#!/usr/bin/env python3
"""upnp_hostile ADDRESS KIND - a router's UPnP server that means harm, on port 5000 and as an SSDP
responder. Started by test_portmap.py in the router's namespace. KIND is what is wrong with it."""
import socket
import sys
import threading
import time

SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
DESCRIPTION = """<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>
<serviceType>%s</serviceType><controlURL>%s</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/s</SCPDURL>
</service></serviceList></device></deviceList></device></deviceList></device></root>"""


def answer(body, length=None):
    return (f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: "
        f"{len(body) if length is None else length}\r\nConnection: close\r\n\r\n").encode() + body


def soap(action, inner):
    return (f'<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<u:{action}Response xmlns:u="{SERVICE}">{inner}</u:{action}Response></s:Body></s:Envelope>').encode()


def pour(client, head, piece):
    """Without end, as fast as it is taken."""
    client.sendall(head)
    while True:
        client.sendall(piece)


def serve(client, address, kind):
    request = client.recv(65536)
    first = request.split(b"\r\n", 1)[0]
    print(first.decode(errors="replace"), flush=True)
    description = DESCRIPTION % (SERVICE, "/control")
    if first.startswith(b"POST"):
        control(client, request, kind)
    elif kind == "endless":
        pour(client, answer(b"", 10**12), b"<a>" * 20000)
    elif kind == "endless_chunks":
        pour(client, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"ea60\r\n" + b"<a>" * 20000 + b"\r\n")
    elif kind == "endless_header":
        pour(client, b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 4000 + b"\r\n")
    elif kind == "drip":
        client.sendall(answer(b"", 100000))
        while True:
            client.sendall(b"<")
            time.sleep(0.5)
    elif kind == "deep":
        client.sendall(answer(b"<a>" * 300000))
    elif kind == "long_names":
        name = "A" * 200000
        client.sendall(answer(f"<{name} {name}='{name}'><controlURL>{name}</controlURL></{name}>".encode()))
    elif kind == "broken":
        client.sendall(answer(description.encode()[:300] + b"<![CDATA[<<<>>>&&&\0\0\0" + bytes(range(256)) * 20))
    elif kind == "wrong_sizes":
        client.sendall(answer(description.encode(), -1))
    elif kind == "redirect":
        client.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://45.9.0.2:5000/d.xml\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    elif kind == "elsewhere":  # a control URL on the Internet
        client.sendall(answer((DESCRIPTION % (SERVICE, "http://45.9.0.2:5000/control")).encode()))
    else:
        client.sendall(answer(description.encode()))


def control(client, request, kind):
    if b"GetExternalIPAddress" in request:
        text = "9" * 100000 if kind == "long_values" else "45.1.0.2"
        client.sendall(answer(soap("GetExternalIPAddress",
            f"<NewExternalIPAddress>{text}</NewExternalIPAddress>")))
    elif kind == "soap_endless":
        pour(client, answer(b"", 2**31), b"<a>" * 20000)
    elif kind == "soap_sizes":
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n<a>\r\n0\r\n\r\n")
    else:
        client.sendall(answer(soap("X", "<errorCode>" + "7" * 70000 + "</errorCode>")))


def guarded(client, address, kind):
    try:
        serve(client, address, kind)
    except OSError:
        pass
    client.close()


def ssdp(address, kind):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("239.255.255.250", 1900))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
        socket.inet_aton("239.255.255.250") + socket.inet_aton(address))
    host = "192.168.1.66" if kind == "neighbour" else address
    while True:
        asked, to = s.recvfrom(2048)
        if not asked.startswith(b"M-SEARCH"):
            continue
        line = f"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n" \
            f"LOCATION: http://{host}:5000/d.xml\r\nUSN: x\r\n\r\n"
        s.sendto(line.encode(), to)
        end = time.monotonic() + (20 if kind == "ssdp_endless" else 0)
        while time.monotonic() < end:
            s.sendto(line.encode().replace(b"d.xml", b"%d.xml" % time.monotonic_ns()), to)
            time.sleep(0.0005)


def main():
    address, kind = sys.argv[1:]
    server = socket.create_server(("", 5000), backlog=64)
    threading.Thread(target=ssdp, args=(address, kind), daemon=True).start()
    print("ready", flush=True)
    while True:
        client, _ = server.accept()
        threading.Thread(target=guarded, args=(client, address, kind), daemon=True).start()


if __name__ == "__main__":
    main()
