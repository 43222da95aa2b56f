"""moves - the figures of our daemon alone: roaming, a NAT that forgets, small outer links.

Each entry of PARTS gives (case, function) pairs; a function runs in a sandbox of its own and returns
figures. The work is that of tests/lab, so the bench measures exactly what the tests check.
"""
import roam
import test_mtu


def roaming(runs):
    kinds = list(roam.KINDS)
    return [(kinds[i % len(kinds)], lambda k=kinds[i % len(kinds)]: roam.once(k)) for i in range(runs)]


def nat_forgets(runs):
    def once():
        return roam.forget_once(*roam.natted())
    return [("forgets", once)] * runs


def mtu(_runs):
    cases = [(f"mtu_{size}_v{6 if v6 else 4}", test_mtu.works_over(size, v6))
        for v6 in (False, True) for size in (1500, 1492, 1300, 1280)]
    return cases + [(f"silent_drop_v{6 if v6 else 4}", test_mtu.silent_drop(v6))
        for v6 in (False, True)]


PARTS = {"roam": roaming, "nat": nat_forgets, "mtu": mtu}
