/**
 * Defines a suite: the checks of a file of expectations, and the single packets that each of them stands for.
 *
 * A *check* is one part of what a person wrote: one source, one destination, one service, one expected verdict. A
 * *case* is one packet of it, from one address to another. A check about a group has a case for each interface of the
 * group and each address family, and all of them must agree.
 */
import type { Address, Family } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import type { Endpoint, Service } from '../explain/explanation.ts';
import type { InterfaceId } from '../policy/model.ts';
import type { Position } from '../source/problem.ts';

export type Expected = 'allowed' | 'denied';

/** One end of a case. */
export interface CaseEnd {
  readonly endpoint: Endpoint;
  readonly address: Address;
  /** The interface; undefined for an end outside. */
  readonly interfaceId: InterfaceId | undefined;
  /** Key of the interface, or address of an end outside. */
  readonly name: string;
  /** The end is any stranger: any other address that no rule names would do. */
  readonly isAnyone: boolean;
}

export interface Case {
  /** Index among all cases of the suite. */
  readonly index: number;
  readonly check: Check;
  readonly family: Family;
  readonly from: CaseEnd;
  readonly to: CaseEnd;
}

export interface NamedService {
  readonly service: Service;
  /** `tcp 443`, `icmp echo`, `protocol 47`. */
  readonly text: string;
  /** `tcp/443`, as a matrix writes it. */
  readonly key: string;
}

export interface Check {
  /** The name that a person gave it, or undefined. */
  readonly name: string | undefined;
  readonly at: Position;
  /** The name as written: `web`. */
  readonly from: string;
  readonly to: string;
  readonly service: NamedService;
  readonly expected: Expected;
  readonly cases: readonly Case[];
  /** Why there is no case; undefined if there are some. */
  readonly untestable: string | undefined;
}

/** The entries of `expect`, or one matrix. */
export type Block =
  | { readonly kind: 'list'; readonly checks: readonly Check[] }
  | {
      readonly kind: 'matrix';
      readonly name: string;
      readonly at: Position;
      /** The rows, and also the destinations of the columns. */
      readonly ends: readonly string[];
      readonly services: readonly NamedService[];
      readonly checks: readonly Check[];
    };

export interface Suite {
  readonly file: string;
  readonly configFile: string;
  readonly config: Config;
  readonly blocks: readonly Block[];
}

export function checksOf(suite: Suite): readonly Check[] {
  return suite.blocks.flatMap(({ checks }) => checks);
}

/** The title of a check: `web -> db tcp 5432`. */
export function titleOf({ from, to, service }: Check): string {
  return `${from} -> ${to} ${service.text}`;
}

/** The title of a case: `web -> db tcp 5432 (IPv4)`, with the interfaces where a name stands for others. */
export function caseTitle({ check, family, from, to }: Case): string {
  const end = (label: string, { name }: CaseEnd): string =>
    label === name ? label : `${label} (${name})`;
  return `${end(check.from, from)} -> ${end(check.to, to)} ${check.service.text} (IPv${family})`;
}
