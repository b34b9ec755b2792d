/**
 * Questions about a configuration, as people write them: `web -> db tcp 5432`.
 *
 * Where the network comes from is the caller's affair (a file, a running daemon); nothing here reads
 * or changes either.
 */
import type { Family, Parsed } from '../../addr/address.ts';
import type { Network, Question } from '../../policy/explanation.ts';
import type { Config } from '../config/config.ts';
import {
  findEndpoint,
  parseService,
  SERVICE_WORDS,
  type Known,
  type ServiceWord,
} from './explain-names.ts';

/** A question in the words it was asked in. */
export interface QuestionText {
  readonly from: string;
  readonly to: string;
  readonly service: ServiceWord;
  /** Port, ICMP message or protocol number. */
  readonly detail: string;
  readonly sourcePort?: number;
  readonly family?: Family;
}

const SHAPE = "write it as 'FROM -> TO tcp PORT', or udp PORT, icmp echo, icmpv6 echo, protocol N";

/** Splits `web -> db tcp 5432`; blanks around the arrow may be left out, and the arrow may be `→`. */
export function parseQuestion(text: string): Parsed<QuestionText> {
  const parts = /^\s*(\S+?)\s*(?:->|→)\s*(\S+)\s+(\S+)(?:\s+(\S+))?\s*$/.exec(text);
  if (parts === null) return { ok: false, message: `'${text}' is no question`, hint: SHAPE };
  const [, from, to, word, detail] = parts;
  const service = SERVICE_WORDS.find((one) => one === word.toLowerCase());
  if (service === undefined || detail === undefined) {
    const message =
      service === undefined ? `'${word}' is no protocol here` : `'${word}' says too little`;
    return { ok: false, message, hint: SHAPE };
  }
  return { ok: true, value: { from, to, service, detail } };
}

/** Looks its names up. */
export function resolveQuestion(known: Known, text: QuestionText): Parsed<Question> {
  const from = findEndpoint(known, text.from);
  if (!from.ok) return from;
  const to = findEndpoint(known, text.to);
  if (!to.ok) return to;
  const service = parseService(text.service, text.detail, text.sourcePort);
  if (!service.ok) return service;
  const question = { from: from.value, to: to.value, service: service.value };
  return {
    ok: true,
    value: text.family === undefined ? question : { ...question, family: text.family },
  };
}

/** The network that a configuration makes. */
export function networkOf(config: Config): Network {
  return {
    model: config.model,
    special: config.special,
    hasUplink: config.uplink !== undefined,
  };
}
