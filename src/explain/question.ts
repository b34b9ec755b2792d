/**
 * This file parses questions as people write them: `web -> db tcp 5432`.
 *
 * The caller provides the network (from a file or a running daemon). Nothing here reads or changes either.
 */
import { refuse, type Family, type Parsed } from '../addr/address.ts';
import type { Network } from './explanation.ts';
import type { Config } from '../config/config.ts';
import { SERVICE_WORDS, type ServiceWord } from './question-names.ts';

/** A question as text, before its words are looked up. */
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

/** Splits `web -> db tcp 5432`. Blanks around the arrow are optional, and the arrow may be `→`. */
export function parseQuestion(text: string): Parsed<QuestionText> {
  const parts = /^\s*(\S+?)\s*(?:->|→)\s*(\S+)\s+(\S+)(?:\s+(\S+))?\s*$/.exec(text);
  if (parts === null) return refuse(`'${text}' is no question`, SHAPE);
  const [, from, to, word, detail] = parts;
  const service = SERVICE_WORDS.find((one) => one === word.toLowerCase());
  if (service === undefined || detail === undefined) {
    const message =
      service === undefined ? `'${word}' is no protocol here` : `'${word}' says too little`;
    return refuse(message, SHAPE);
  }
  return { ok: true, value: { from, to, service, detail } };
}

/** Makes the network of a configuration. */
export function networkOf(config: Pick<Config, 'model' | 'special' | 'uplink'>): Network {
  return {
    model: config.model,
    special: config.special,
    hasUplink: config.uplink !== undefined,
  };
}
