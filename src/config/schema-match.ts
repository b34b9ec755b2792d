/** This file has the schema of what finds an interface that is there already. */

export const ALIAS = {
  type: 'string',
  minLength: 1,
  maxLength: 255,
  title: 'Alias',
  description:
    'For attach: the interface with this alias (ip link set veth1a2b alias web-1), whatever its name is. Of name, alias and hostMac all that are given must hold. If several interfaces are so, none is attached, and the host is kept from all of them.',
  examples: ['web-1'],
};

export const HOST_MAC = {
  type: 'string',
  title: "MAC address of the host's end",
  description:
    "For attach: the interface that has this MAC address itself, as ip link show tells it. libvirt gives the TAP of a guest the guest's address with fe as its first byte.",
  examples: ['fe:54:00:00:00:11'],
};
