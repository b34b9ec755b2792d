/**
 * This file reads the parameters of a query into questions, by the words of `sgctl flows`, `sgctl rules` and `sgctl
 * drops`. What a word means is checked by who answers; here only how much there is, and that it is known.
 */
import { parseDuration } from '../source/duration.ts';
import type { DropsQuestion } from '../queries/drops-view.ts';
import type { FlowsQuestion } from '../queries/flows-view.ts';
import type { RulesQuestion } from '../queries/rules-view.ts';
import { WORD_LENGTH_MAX } from '../queries/traffic-filter.ts';
import { ConsoleFailure } from './failure.ts';

const WORDS_MAX = 100;
const FLOWS_SHOWN = 200;
const FLOWS_SHOWN_MAX = 2000;

/** How a word becomes a field of the question. */
type Kind = 'words' | 'word' | 'yes' | 'duration' | 'number';
type Fields<Question> = Readonly<Record<string, readonly [keyof Question, Kind]>>;

const FLOW_FIELDS: Fields<FlowsQuestion> = {
  interface: ['interfaces', 'words'],
  proto: ['protocols', 'words'],
  port: ['ports', 'words'],
  'local-port': ['localPorts', 'words'],
  'remote-port': ['remotePorts', 'words'],
  address: ['addresses', 'words'],
  local: ['locals', 'words'],
  remote: ['remotes', 'words'],
  rule: ['rules', 'words'],
  group: ['groups', 'words'],
  state: ['states', 'words'],
  'opened-by': ['openedBy', 'word'],
  idle: ['idleMs', 'duration'],
  audit: ['audit', 'yes'],
  sort: ['sort', 'word'],
  limit: ['limit', 'number'],
};

const RULE_FIELDS: Fields<RulesQuestion> = {
  group: ['groups', 'words'],
  direction: ['direction', 'word'],
  'never-hit': ['neverHit', 'yes'],
  sort: ['sort', 'word'],
};

const DROP_FIELDS: Fields<DropsQuestion> = {
  interface: ['interfaces', 'words'],
  direction: ['direction', 'word'],
  reason: ['reasons', 'words'],
  since: ['sinceMs', 'duration'],
  audit: ['audit', 'yes'],
};

export function readFlowsQuery(query: URLSearchParams): FlowsQuestion {
  const { limit = FLOWS_SHOWN, ...rest } = readQuery<FlowsQuestion>(query, FLOW_FIELDS);
  if (limit > FLOWS_SHOWN_MAX)
    throw new ConsoleFailure(400, `limit goes from 0 to ${FLOWS_SHOWN_MAX}`);
  return { ...rest, limit };
}

export function readRulesQuery(query: URLSearchParams): RulesQuestion {
  return readQuery<RulesQuestion>(query, RULE_FIELDS);
}

export function readDropsQuery(query: URLSearchParams): DropsQuestion {
  return readQuery<DropsQuestion>(query, DROP_FIELDS);
}

/** @throws ConsoleFailure for a parameter that is not known, or whose value is not of its kind */
export function readQuery<Question>(query: URLSearchParams, fields: Fields<Question>): Question {
  const known = new Map(Object.entries(fields));
  const found = new Map<PropertyKey, unknown>();
  for (const name of new Set(query.keys())) {
    const field = known.get(name);
    if (field === undefined) {
      const words = [...known.keys()].join(', ');
      throw new ConsoleFailure(400, 'a parameter is not known', `there are ${words}`);
    }
    const [key, kind] = field;
    found.set(key, readValue(name, query.getAll(name), kind));
  }
  return Object.fromEntries(found) as Question;
}

function readValue(name: string, values: readonly string[], kind: Kind): unknown {
  if (kind === 'words') {
    const words = values.flatMap((value) => value.split(',')).map((word) => word.trim());
    if (words.length > WORDS_MAX || words.some((word) => !isWord(word)))
      throw new ConsoleFailure(400, `${name} is at most ${WORDS_MAX} words, none of them empty`);
    return words;
  }
  const [value] = values;
  if (values.length > 1 || !isWord(value)) throw new ConsoleFailure(400, `${name} is one word`);
  switch (kind) {
    case 'word':
      return value;
    case 'yes':
      if (value === 'true' || value === 'false') return value === 'true';
      throw new ConsoleFailure(400, `${name} is true or false`);
    case 'duration': {
      const ms = parseDuration(value);
      if (ms !== undefined) return Math.round(ms);
      throw new ConsoleFailure(400, `${name} is a time, as 30s, 5m or 2h`);
    }
    case 'number':
      if (/^\d{1,15}$/.test(value)) return Number(value);
      throw new ConsoleFailure(400, `${name} is a whole number`);
    default:
      return kind satisfies never;
  }
}

function isWord(text: string): boolean {
  return text !== '' && text.length <= WORD_LENGTH_MAX;
}
