/** This file has the part of the configuration's schema for connection tracking. */
import { CONNTRACK_LIMITS } from './limits.ts';
import { integer, mapping } from './schema-parts.ts';

function exception(description: string): object {
  return { enum: ['drop', 'pass'], default: 'drop', description };
}

export const CONNTRACK = mapping(
  {
    maxFlows: integer(CONNTRACK_LIMITS.maxFlows, {
      title: 'Most flows',
      description: 'How many flows are tracked at once; new ones beyond it are dropped.',
    }),
    maxHalfOpen: integer(CONNTRACK_LIMITS.maxHalfOpen, {
      title: 'Most half-open flows',
      description:
        'How many of them may be half-open: not answered yet. The oldest of the interface that has the most are given up for new ones. A quarter of maxFlows if absent.',
    }),
    maxOffloaded: integer(CONNTRACK_LIMITS.maxOffloaded, {
      title: 'Most offloaded flows',
      description:
        'How many flows the kernel forwards at once, with offload: 144 bytes each, which are taken at the start. Packets of others are forwarded by the daemon.',
    }),
    exceptions: mapping(
      {
        tableFull: exception(
          'A flow that the rules admit and the table has no room for. pass: untracked.',
        ),
        invalid: exception('A TCP packet that misfits its connection by flags, state or window.'),
        fragment: exception('A later fragment whose first one was not seen.'),
        eventsFull: {
          enum: ['drop', 'pass'],
          default: 'pass',
          description:
            'A new flow, or a packet of an untracked one, while the ring of events is full. pass: unrecorded by flow logs.',
        },
      },
      {
        title: 'Exceptions',
        description:
          'What becomes of a packet where tracking can not do what it should: dropped, or passed and counted. What can not be decoded is always dropped.',
      },
    ),
    tcpWindow: {
      enum: ['check', 'ignore'],
      default: 'check',
      title: 'TCP windows',
      description: 'What becomes of TCP packets outside the window of their connection.',
    },
    accounting: {
      enum: ['on', 'off'],
      default: 'on',
      title: 'Accounting',
      description:
        'Count packets and bytes of each flow, for flow logs, `sgctl flows` and `sgctl top`: 32 bytes a flow.',
    },
    midstream: {
      enum: ['accept', 'drop'],
      default: 'accept',
      title: 'TCP in mid-stream',
      description:
        'What becomes of a TCP packet of no tracked connection that opens none: judged by the rules, or dropped.',
    },
  },
  { title: 'Connection tracking' },
);
