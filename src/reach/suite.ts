/**
 * What a file of expectations means, once its names have been looked up: checks, and the single
 * packets each of them stands for.
 *
 * A *check* is what a person wrote, taken apart: one source, one destination, one service, one
 * expected verdict. A *case* is one packet of it: one address to one other. A check about a group stands for a case
 * for each interface of the group and each address family, and all of them must agree.
 */
import type { Address, Family } from '../addr/address.ts';
import type { Config } from '../control/config/config.ts';
import type { Endpoint, Service } from '../policy/explanation.ts';
import type { InterfaceId } from '../policy/model.ts';
import type { Position } from '../source/problem.ts';

export type Expected = 'allowed' | 'denied';

/** One end of a case. */
export interface CaseEnd {
  readonly endpoint: Endpoint;
  readonly address: Address;
  /** The interface; undefined: outside. */
  readonly interfaceId: InterfaceId | undefined;
  /** Key of the interface, or the address of an end outside. */
  readonly name: string;
  /** Somebody outside, whoever: any other address that no rule names would do as well. */
  readonly isAnyone: boolean;
}

export interface Case {
  /** Position among all cases of the suite. */
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
  /** `tcp/443`, as a matrix may write it. */
  readonly key: string;
}

export interface Check {
  /** What a person called it; undefined if nothing. */
  readonly name: string | undefined;
  readonly at: Position;
  /** As written: `web`. */
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
      /** Rows, and the destinations of the columns. */
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

/** `web -> db tcp 5432`. */
export function titleOf({ from, to, service }: Check): string {
  return `${from} -> ${to} ${service.text}`;
}

/** `web -> db tcp 5432 (IPv4)`, with the interfaces where a name stands for others than itself. */
export function caseTitle({ check, family, from, to }: Case): string {
  const end = (label: string, { name }: CaseEnd): string =>
    label === name ? label : `${label} (${name})`;
  return `${end(check.from, from)} -> ${end(check.to, to)} ${check.service.text} (IPv${family})`;
}
