/** This file has the part of the configuration's schema for flow logs. */
import { DEFAULT_FORMAT, FIELD_NAMES, GIVEN_FIELD_NAMES } from './flow-log-format.ts';
import { ROTATION_LIMITS } from './limits.ts';
import { integer, list, mapping } from './schema-parts.ts';

const VALUES = {
  type: 'object',
  propertyNames: { enum: GIVEN_FIELD_NAMES },
  additionalProperties: { type: 'string', pattern: '^\\S+$' },
  title: 'Values',
  description: `What only you know: ${GIVEN_FIELD_NAMES.join(', ')}. Fields without one are written as -.`,
};

export const FLOW_LOGS: object = {
  type: 'object',
  title: 'Flow logs',
  description: "Records of what was let through and what was not, in AWS's formats, by name.",
  additionalProperties: mapping(
    {
      file: {
        type: 'string',
        minLength: 1,
        title: 'File',
        description: 'Absolute path, or - for standard output.',
        examples: ['/var/log/secgroupd/flow.log', '-'],
      },
      format: {
        type: 'string',
        default: DEFAULT_FORMAT,
        title: 'Format',
        description: `\${field}s separated by blanks. Fields: ${FIELD_NAMES.join(', ')}.`,
      },
      aggregation: {
        enum: [60, 600],
        default: 600,
        title: 'Aggregation interval',
        description: 'Seconds that a record is about at most.',
      },
      traffic: {
        enum: ['all', 'accept', 'reject'],
        default: 'all',
        title: 'Traffic',
        description: 'Which traffic is logged.',
      },
      interfaces: list(
        { type: 'string' },
        { minItems: 1, title: 'Interfaces', description: 'Names; all interfaces if absent.' },
      ),
      rotate: mapping(
        {
          sizeMb: integer(ROTATION_LIMITS.sizeMb, {
            description: 'Megabytes at which the file is put aside.',
          }),
          keep: integer(ROTATION_LIMITS.keep, {
            description: 'How many of those put aside are kept.',
          }),
          gzip: { type: 'boolean', default: false, description: 'Compress those put aside.' },
        },
        { title: 'Rotation' },
      ),
      values: VALUES,
      interfaceValues: {
        type: 'object',
        additionalProperties: VALUES,
        title: 'Values by interface',
        description: 'Values of single interfaces, by their name.',
      },
    },
    { required: ['file'] },
  ),
};
