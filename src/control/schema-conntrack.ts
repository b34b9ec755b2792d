/** The part of the configuration's schema that is about connection tracking. */
import { mapping } from './schema-parts.ts';

function exception(description: string): object {
  return { enum: ['drop', 'pass'], default: 'drop', description };
}

export const CONNTRACK = mapping(
  {
    maxFlows: {
      type: 'integer',
      minimum: 16,
      maximum: 16_000_000,
      default: 262144,
      title: 'Most flows',
      description: 'How many flows are tracked at once; new ones beyond it are dropped.',
    },
    maxHalfOpen: {
      type: 'integer',
      minimum: 16,
      maximum: 16_000_000,
      title: 'Most half-open flows',
      description:
        'How many of them may be half-open: not answered yet. The oldest are given up for new ones. A quarter of maxFlows if absent.',
    },
    exceptions: mapping(
      {
        tableFull: exception(
          'A flow that the rules admit and the table has no room for. pass: untracked.',
        ),
        invalid: exception('A TCP packet that misfits its connection by flags, state or window.'),
        fragment: exception('A later fragment whose first one was not seen.'),
      },
      {
        title: 'Exceptions',
        description:
          'What becomes of a packet where tracking can not do what it should: dropped, or passed and counted. What can not be decoded is always dropped.',
      },
    ),
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
