/** The keys of a device that only a stream has, for the schema. */
export const STREAM_KEYS = {
  path: {
    type: 'string',
    minLength: 1,
    title: 'Path of the socket',
    description:
      'For stream, and needed there: where the daemon listens for the guest, in a folder that only root or the user of the daemon can write. The socket has mode 0600 if it has no group.',
    examples: ['/run/secgroupd/vm1.sock'],
  },
  group: {
    type: 'string',
    minLength: 1,
    title: 'Group of the socket',
    description:
      'For stream: a group of /etc/group, by name or number, whose members may connect as well. The socket has mode 0660 then. For hypervisors that run as another user, as those of libvirt.',
    examples: ['libvirt-qemu'],
  },
} as const;
