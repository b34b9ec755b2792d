/** What becomes of answers of DNS to an interface whose rules have names: each outcome has a cell among the gauges. */

export const NAME_LEARNT = 0;
export const NAME_RENEWED = 1;
export const NAME_UNASKED = 2;
export const NAME_MALFORMED = 3;
export const NAME_TRUNCATED = 4;
export const NAME_IN_FRAGMENTS = 5;
export const NAME_FORBIDDEN = 6;
export const NAME_TOO_MANY = 7;
export const NAME_INTERFACE_FULL = 8;
export const NAME_TABLE_FULL = 9;

/** Names are labels of a metric and words that people search for. */
export const NAME_OUTCOMES: readonly (readonly [name: string, meaning: string])[] = [
  ['learnt', 'an address that was not known'],
  ['renewed', 'an address that was known, for longer now'],
  ['unasked', 'an answer to no question that waits for one: forged, repeated, or late'],
  ['malformed', 'an answer that can not be read'],
  ['truncated', 'an answer that was cut short: the rest would come by TCP, which is not read'],
  ['in-fragments', 'an answer in fragments, which is not read'],
  [
    'forbidden-address',
    'an address that no name may stand for: of an interface here, of the platform, or of no host outside',
  ],
  ['too-many', 'more records than are read of an answer'],
  ['interface-full', 'the interface has as many addresses as it may (names.maxAddresses)'],
  ['table-full', 'the table has no room for the address'],
];

export const NAME_OUTCOME_COUNT = NAME_OUTCOMES.length;
