//! The `lxc.net` lines that LXC and this library are both given.

/// Names and lines (`N.key=value`) of the cases; `!` in front of the name: both must refuse.
pub(crate) const CASES: &[(&str, &str)] = &[
    ("veth alone", "0.type=veth"),
    ("veth up", "0.type=veth 0.flags=up"),
    ("veth on a bridge", "0.type=veth 0.flags=up 0.link=br0"),
    ("veth on a bridge, down", "0.type=veth 0.link=br0"),
    (
        "veth named",
        "0.type=veth 0.flags=up 0.link=br0 0.name=lan0",
    ),
    (
        "veth with pair name",
        "0.type=veth 0.flags=up 0.link=br0 0.veth.pair=vhd0",
    ),
    (
        "veth with mtu",
        "0.type=veth 0.flags=up 0.link=br0 0.mtu=1280",
    ),
    (
        "veth with hwaddr",
        "0.type=veth 0.flags=up 0.link=br0 0.hwaddr=00:16:3e:11:22:33",
    ),
    (
        "veth with queues",
        "0.type=veth 0.flags=up 0.veth.n_rxqueues=2 0.veth.n_txqueues=3",
    ),
    (
        "one address",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24",
    ),
    (
        "addresses, down",
        "0.type=veth 0.link=br0 0.ipv4.address=10.9.0.5/24",
    ),
    (
        "several addresses",
        "0.type=veth 0.flags=up 0.ipv4.address=10.9.0.5/24 0.ipv4.address=10.9.1.5/16 \
         0.ipv6.address=fd09::5/64 0.ipv6.address=fd10::5/80",
    ),
    (
        "host prefix",
        "0.type=veth 0.flags=up 0.ipv4.address=10.9.0.5/32 0.ipv6.address=fd09::5/128",
    ),
    (
        "gateway",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=10.9.0.1",
    ),
    (
        "gateway outside",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=10.55.0.1",
    ),
    (
        "gateway auto",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=auto",
    ),
    (
        "gateway dev",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=dev",
    ),
    (
        "ipv6 gateway",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv6.address=fd09::5/64 0.ipv6.gateway=fd09::1",
    ),
    (
        "ipv6 gateway auto",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv6.address=fd09::5/64 0.ipv6.gateway=auto",
    ),
    (
        "ipv6 gateway dev",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv6.address=fd09::5/64 0.ipv6.gateway=dev",
    ),
    (
        "router mode",
        "0.type=veth 0.veth.mode=router 0.veth.pair=vhr0 0.flags=up 0.ipv4.address=10.7.0.5/24 \
         0.ipv4.gateway=10.7.0.1 0.ipv6.address=fd07::5/64 0.ipv6.gateway=fd07::1",
    ),
    (
        "router mode, IPv4 only",
        "0.type=veth 0.veth.mode=router 0.flags=up 0.ipv4.address=10.7.0.5/24 \
         0.ipv4.gateway=10.7.0.1",
    ),
    (
        "router mode without gateways",
        "0.type=veth 0.veth.mode=router 0.flags=up 0.ipv4.address=10.7.0.5/24",
    ),
    (
        "static routes",
        "0.type=veth 0.veth.pair=vhs0 0.flags=up 0.veth.ipv4.route=10.66.0.0/24 \
         0.veth.ipv4.route=10.67.0.0/16 0.veth.ipv6.route=fd66::/64",
    ),
    (
        "l2proxy on a bridge",
        "0.type=veth 0.flags=up 0.link=br0 0.l2proxy=1 0.ipv4.address=10.9.0.5/24 \
         0.ipv6.address=fd09::5/64",
    ),
    ("macvlan", "0.type=macvlan 0.flags=up 0.link=up0"),
    (
        "macvlan bridge",
        "0.type=macvlan 0.macvlan.mode=bridge 0.flags=up 0.link=up0",
    ),
    (
        "macvlan vepa",
        "0.type=macvlan 0.macvlan.mode=vepa 0.flags=up 0.link=up0 0.name=mac0",
    ),
    (
        "macvlan passthru",
        "0.type=macvlan 0.macvlan.mode=passthru 0.flags=up 0.link=up0",
    ),
    (
        "macvlan with mtu",
        "0.type=macvlan 0.flags=up 0.link=up0 0.mtu=1300",
    ),
    (
        "macvlan with hwaddr",
        "0.type=macvlan 0.flags=up 0.link=up0 0.hwaddr=00:16:3e:11:22:33",
    ),
    (
        "macvlan with addresses",
        "0.type=macvlan 0.flags=up 0.link=up0 0.ipv4.address=10.8.0.5/24 0.ipv4.gateway=auto \
         0.l2proxy=1",
    ),
    ("phys", "0.type=phys 0.flags=up 0.link=ph0"),
    (
        "phys named",
        "0.type=phys 0.flags=up 0.link=ph0 0.name=wan0 0.mtu=1280",
    ),
    (
        "phys with address",
        "0.type=phys 0.flags=up 0.link=ph0 0.hwaddr=00:16:3e:11:22:35 0.ipv4.address=10.6.0.5/24 \
         0.ipv4.gateway=dev",
    ),
    ("empty", "0.type=empty"),
    ("empty up", "0.type=empty 0.flags=up"),
    (
        "two bridges' worth",
        "0.type=veth 0.flags=up 0.link=br0 1.type=veth 1.flags=up 1.link=br0 1.ipv4.address=10.9.0.6/24",
    ),
    (
        "veth, macvlan and phys",
        "0.type=veth 0.flags=up 0.link=br0 3.type=macvlan 3.flags=up 3.link=up0 7.type=phys \
         7.flags=up 7.link=ph0",
    ),
    (
        "named after unnamed",
        "0.type=veth 0.flags=up 1.type=veth 1.flags=up 1.name=eth0",
    ),
    (
        "address with broadcast",
        "0.type=veth 0.flags=up 0.ipv4.address=10.9.0.5/24 0.ipv4.address=10.8.0.5/16",
    ),
    (
        "addresses without prefix",
        "0.type=veth 0.flags=up 0.ipv4.address=10.9.0.5 0.ipv4.address=10.8.0.200 0.ipv6.address=fd09::5",
    ),
    (
        "an address twice",
        "0.type=veth 0.flags=up 0.ipv4.address=10.9.0.5/24 0.ipv4.address=10.9.0.5/24",
    ),
    (
        "ipv6 gateway link-local",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv6.address=fd09::5/64 0.ipv6.gateway=fe80::1",
    ),
    (
        "ipv6 gateway outside",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv6.address=fd09::5/64 0.ipv6.gateway=fd55::1",
    ),
    (
        "!both gateways dev without addresses",
        "0.type=veth 0.flags=up 0.ipv4.gateway=dev 0.ipv6.gateway=dev",
    ),
    (
        "!gateway dev without address",
        "0.type=veth 0.flags=up 0.ipv4.gateway=dev",
    ),
    (
        "two default gateways",
        "0.type=veth 0.flags=up 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=10.9.0.1 \
         1.type=veth 1.flags=up 1.ipv4.address=10.7.0.5/24 1.ipv4.gateway=10.7.0.1",
    ),
    ("name pattern", "0.type=veth 0.flags=up 0.name=lan%d"),
    (
        "named out of order",
        "0.type=veth 0.flags=up 0.name=eth1 1.type=veth 1.flags=up 2.type=veth 2.flags=up",
    ),
    (
        "names exchanged",
        "0.type=veth 0.flags=up 0.name=eth1 1.type=veth 1.flags=up 1.name=eth0",
    ),
    (
        "router mode on a link with l2proxy",
        "0.type=veth 0.veth.mode=router 0.veth.pair=vhl0 0.link=up0 0.l2proxy=1 0.flags=up \
         0.ipv4.address=10.7.0.5/24 0.ipv4.gateway=10.7.0.1 0.ipv6.address=fd07::5/64",
    ),
    (
        "router mode, gateway dev",
        "0.type=veth 0.veth.mode=router 0.veth.pair=vhl1 0.flags=up 0.ipv4.address=10.7.0.5/32 \
         0.ipv4.gateway=dev",
    ),
    (
        "macvlan twice on a link",
        "0.type=macvlan 0.macvlan.mode=private 0.flags=up 0.link=up0 1.type=macvlan \
         1.macvlan.mode=private 1.flags=up 1.link=up0",
    ),
    (
        "macvlan with ipv6",
        "0.type=macvlan 0.macvlan.mode=bridge 0.flags=up 0.link=up0 0.ipv6.address=fd08::5/64 \
         0.ipv6.gateway=auto 0.l2proxy=1",
    ),
    ("phys without flags", "0.type=phys 0.link=ph0 0.name=wan0"),
    // (An IPv6 gateway `dev` alone, without an address, hangs LXC 5.0.2.)
    // Where the kernel has no such links, both refuse.
    ("ipvlan", "0.type=ipvlan 0.flags=up 0.link=up0"),
    (
        "ipvlan l2 private",
        "0.type=ipvlan 0.ipvlan.mode=l2 0.ipvlan.isolation=private 0.flags=up 0.link=up0",
    ),
    (
        "ipvlan l3 vepa",
        "0.type=ipvlan 0.ipvlan.mode=l3 0.ipvlan.isolation=vepa 0.flags=up 0.link=up0 \
         0.ipv4.address=10.8.0.5/32 0.ipv4.gateway=dev",
    ),
    (
        "ipvlan l3s with l2proxy",
        "0.type=ipvlan 0.ipvlan.mode=l3s 0.l2proxy=1 0.flags=up 0.link=up0 0.mtu=1300 \
         0.ipv4.address=10.8.0.5/32 0.ipv4.gateway=dev 0.ipv6.address=fd08::5/128",
    ),
    (
        "ipvlan named",
        "0.type=ipvlan 0.flags=up 0.link=up0 0.name=ipv0 0.ipv4.address=10.8.0.5/24 0.ipv4.gateway=auto",
    ),
    ("vlan", "0.type=vlan 0.vlan.id=42 0.flags=up 0.link=up0"),
    (
        "vlan with everything",
        "0.type=vlan 0.vlan.id=43 0.flags=up 0.link=up0 0.name=v0 0.mtu=1300 \
         0.hwaddr=00:16:3e:11:22:36 0.ipv4.address=10.5.0.5/24 0.ipv4.gateway=10.5.0.1",
    ),
    (
        "port vlan",
        "0.type=veth 0.flags=up 0.link=br1 0.veth.vlan.id=7",
    ),
    (
        "port vlans",
        "0.type=veth 0.flags=up 0.link=br1 0.veth.vlan.id=7 0.veth.vlan.tagged.id=8 0.veth.vlan.tagged.id=9",
    ),
    (
        "port without own vlan",
        "0.type=veth 0.flags=up 0.link=br1 0.veth.vlan.id=none 0.veth.vlan.tagged.id=8",
    ),
    (
        "tagged vlans only",
        "0.type=veth 0.flags=up 0.link=br1 0.veth.vlan.tagged.id=8",
    ),
    (
        "!multicast hwaddr",
        "0.type=veth 0.flags=up 0.hwaddr=01:00:5e:00:00:01",
    ),
    (
        "!malformed hwaddr",
        "0.type=veth 0.flags=up 0.hwaddr=nonsense",
    ),
    ("!name of lo", "0.type=veth 0.flags=up 0.name=lo"),
    ("!macvlan without link", "0.type=macvlan 0.flags=up"),
    (
        "!ipvlan l2proxy in l2",
        "0.type=ipvlan 0.ipvlan.mode=l2 0.l2proxy=1 0.flags=up 0.link=up0",
    ),
    (
        "!script fails",
        "0.type=veth 0.flags=up 0.script.up=/bin/false",
    ),
    ("!absent bridge", "0.type=veth 0.flags=up 0.link=absent0"),
    ("!absent phys", "0.type=phys 0.flags=up 0.link=absent0"),
    ("!bad mtu", "0.type=veth 0.flags=up 0.mtu=12x"),
    ("!pair name taken", "0.type=veth 0.flags=up 0.veth.pair=ph0"),
    (
        "!gateway without address",
        "0.type=veth 0.flags=up 0.link=br0 0.ipv4.gateway=10.9.0.1",
    ),
    (
        "!gateway but down",
        "0.type=veth 0.link=br0 0.ipv4.address=10.9.0.5/24 0.ipv4.gateway=10.9.0.1",
    ),
];
