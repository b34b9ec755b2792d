/**
 * The JSON Schema of a file of expectations. Editors complete and check by it, and the loader checks the structure by
 * it. config/expectations.schema.json is this object as text; a test compares the two.
 */

const PORTS = {
  type: ['integer', 'array'],
  minimum: 0,
  maximum: 65535,
  items: { type: 'integer', minimum: 0, maximum: 65535 },
  examples: [443, [80, 443]],
};

const ICMP = {
  type: ['string', 'integer', 'array'],
  items: { type: ['string', 'integer'] },
  examples: ['echo', 3, '3/4', ['echo', '3/4']],
};

const SERVICES = {
  tcp: { ...PORTS, title: 'TCP', description: 'A port of TCP, or a list of ports.' },
  udp: { ...PORTS, title: 'UDP', description: 'A port of UDP, or a list of ports.' },
  icmp: {
    ...ICMP,
    title: 'ICMP',
    description: 'ICMP over IPv4: echo, TYPE or TYPE/CODE, or a list of these.',
  },
  icmpv6: {
    ...ICMP,
    title: 'ICMPv6',
    description: 'ICMP over IPv6: echo, TYPE or TYPE/CODE, or a list of these.',
  },
  protocol: {
    type: ['integer', 'array'],
    minimum: 0,
    maximum: 255,
    items: { type: 'integer', minimum: 0, maximum: 255 },
    title: 'Other protocol',
    description: 'The IANA number of any other protocol, or a list of numbers.',
    examples: [47, [47, 50]],
  },
};

const FAMILY = {
  enum: [4, 6],
  title: 'Address family',
  description: 'Only over IPv4, or only over IPv6. Absent: over every family that both ends have.',
};

const NAME = {
  type: 'string',
  title: 'Name',
  description: 'What it is called in the output.',
  examples: ['no DNS'],
};

const END_NOTE =
  "An interface by its key or id, a security group (all interfaces it is on), an address, or 'internet' (somebody outside whom no rule names).";

function end(title: string, what: string): object {
  return {
    type: ['string', 'array'],
    items: { type: 'string' },
    title,
    description: `${what} ${END_NOTE} Or a list of these.`,
    examples: ['web', '198.51.100.7', 'internet', ['web', 'app']],
  };
}

const EXPECTATION = {
  type: 'object',
  additionalProperties: false,
  required: ['from', 'to', 'is'],
  properties: {
    from: end('From', 'Who starts.'),
    to: end('To', 'Who is to be reached.'),
    ...SERVICES,
    is: {
      enum: ['allowed', 'denied'],
      title: 'Verdict',
      description: 'allowed or denied: what must become of it.',
    },
    name: NAME,
    family: FAMILY,
  },
};

const MATRIX_PROPERTIES = {
  between: {
    type: 'array',
    items: { type: 'string' },
    title: 'Between',
    description: `The ends: each is tried as the source towards every other. ${END_NOTE}`,
    examples: [['web', 'app', 'db']],
  },
  ...SERVICES,
  allowed: {
    type: 'array',
    items: { type: 'string' },
    title: 'Allowed',
    description:
      "What must be allowed, as FROM>TO:PORT, FROM>TO:udp/PORT, FROM>TO:icmp/echo or FROM>TO:* for all. Whatever isn't listed must be denied.",
    examples: [['web>app:443', 'app>db:*']],
  },
  name: NAME,
  family: FAMILY,
};

/** JSON Schema, draft-07. The loader checks that an expectation names a service. */
export const EXPECTATIONS_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'sgctl test expectations',
  description: 'Who may reach whom under a configuration, and who may not.',
  type: 'object',
  additionalProperties: false,
  properties: {
    config: {
      type: 'string',
      title: 'Configuration',
      description:
        'The configuration to be tested; a relative path counts from the directory of this file. `sgctl test --config` takes its place.',
      examples: ['demo.yaml'],
    },
    expect: {
      type: 'array',
      items: EXPECTATION,
      title: 'Expectations',
      description: 'One by one.',
    },
    matrix: {
      type: ['object', 'array'],
      title: 'Matrix',
      description: 'Everything between a few ends, at once; or a list of such matrices.',
      items: { $ref: '#/definitions/matrix' },
      additionalProperties: false,
      required: ['between', 'allowed'],
      properties: MATRIX_PROPERTIES,
    },
  },
  definitions: {
    matrix: {
      type: 'object',
      additionalProperties: false,
      required: ['between', 'allowed'],
      properties: MATRIX_PROPERTIES,
    },
  },
};

/** Returns the text of config/expectations.schema.json. */
export function expectationsSchemaText(): string {
  return `${JSON.stringify(EXPECTATIONS_SCHEMA, null, 2)}\n`;
}
