/**
 * Finding the ends of a question by what people call them, and what a service is called.
 *
 * An end is, in this order: the key of an interface in the configuration, its id, `outside:ADDRESS`
 * (the address, sent from outside whoever has it here), an address (of an interface, or of the world
 * outside), the namespace of an interface's device. Two interfaces may share a namespace; then its
 * name says nothing.
 */
import { parseAddress, sameAddress, type Parsed } from '../../addr/address.ts';
import type { Endpoint, Service } from '../../policy/explanation.ts';
import type { NetworkInterface, PolicyModel } from '../../policy/model.ts';
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../policy/protocols.ts';
import { closest, listWords } from '../../source/suggest.ts';
import type { Config } from '../config/config.ts';
import { ambiguousGroupText, findGroups, groupLabel } from '../../policy/vpcs.ts';

const OUTSIDE = 'outside:';
const NUMBER = /^(0|[1-9]\d{0,4})$/;

/** What findEndpoint looks in; a running daemon can give the same of itself. */
export type Known = Pick<Config, 'model' | 'interfaces'>;

export function findEndpoint({ model, interfaces }: Known, text: string): Parsed<Endpoint> {
  const networks = [...model.interfaces.values()];
  const named = networks.find(({ name }) => name === text) ?? model.interfaces.get(text);
  if (named !== undefined) return endpoint(named);

  const isOutside = text.startsWith(OUTSIDE);
  const addressText = isOutside ? text.slice(OUTSIDE.length) : text;
  if (isOutside || looksLikeAddress(text)) {
    const parsed = parseAddress(addressText);
    if (!parsed.ok) return parsed;
    const address = parsed.value;
    const owner = networks.find(({ addresses }) =>
      addresses.some((own) => sameAddress(own, address)),
    );
    return {
      ok: true,
      value:
        owner === undefined || isOutside
          ? { kind: 'address', address }
          : { kind: 'interface', interfaceId: owner.id, address },
    };
  }

  const inNamespace = interfaces.filter(({ device }) => device.netns === text);
  if (inNamespace.length === 1) return endpoint(model.interfaces.get(inNamespace[0].id)!);
  if (inNamespace.length > 1) {
    return {
      ok: false,
      message: `'${text}' is the namespace of ${inNamespace.length} interfaces`,
      hint: `name one of them: ${listWords(inNamespace.map(({ name }) => name))}`,
    };
  }
  return unknown({ model, interfaces }, text);
}

function endpoint({ id }: NetworkInterface): Parsed<Endpoint> {
  return { ok: true, value: { kind: 'interface', interfaceId: id } };
}

/** Anything of the shape, so that a slip in an address is told as one. */
function looksLikeAddress(text: string): boolean {
  return /^[\d.]+(\/.*)?$/.test(text) || /^[\da-f.]*:[\da-f:.]*([/%].*)?$/i.test(text);
}

function unknown({ model, interfaces }: Known, text: string): Parsed<Endpoint> {
  const names = [...model.interfaces.values()].map(({ name }) => name);
  const namespaces = [...new Set(interfaces.flatMap(({ device }) => device.netns ?? []))].filter(
    (name) => !names.includes(name),
  );
  const meant = closest(text, [...names, ...namespaces, ...model.interfaces.keys()]);
  const suggestion =
    meant === undefined ? groupSuggestion(model, text) : `; did you mean '${meant}'?`;
  const spaces = namespaces.length === 0 ? '' : `; namespaces: ${listWords(namespaces)}`;
  return {
    ok: false,
    message: `there is no interface '${text}'${suggestion}`,
    hint: `interfaces: ${listWords(names)}${spaces}; or write an address`,
  };
}

/** People who think of a tier by its group. */
function groupSuggestion({ groups, interfaces }: PolicyModel, text: string): string {
  const found = findGroups([...groups.values()], text);
  if (found.length > 1) return `; ${ambiguousGroupText(text, found)}`;
  if (found.length === 0) return '';
  const [group] = found;
  const members = [...interfaces.values()].filter(({ groupIds }) => groupIds.includes(group.id));
  return `; sg:${groupLabel(group)} is a group, on ${listWords(members.map(({ name }) => name))}`;
}

const ICMP_NAMES: ReadonlyMap<string, readonly [type: number, code: number]> = new Map([
  ['echo', [8, 0]],
  ['echo-reply', [0, 0]],
  ['unreachable', [3, 0]],
  ['frag-needed', [3, 4]],
  ['time-exceeded', [11, 0]],
]);

const ICMPV6_NAMES: ReadonlyMap<string, readonly [type: number, code: number]> = new Map([
  ['echo', [128, 0]],
  ['echo-reply', [129, 0]],
  ['unreachable', [1, 0]],
  ['packet-too-big', [2, 0]],
  ['time-exceeded', [3, 0]],
]);

export const SERVICE_WORDS = ['tcp', 'udp', 'icmp', 'icmpv6', 'protocol'] as const;
export type ServiceWord = (typeof SERVICE_WORDS)[number];

/** Reads `5432` after tcp or udp, `echo`, `3` or `3/4` after icmp or icmpv6, `50` after protocol. */
export function parseService(
  word: ServiceWord,
  text: string,
  sourcePort: number | undefined,
): Parsed<Service> {
  if (sourcePort !== undefined && word !== 'tcp' && word !== 'udp')
    return refuse('only tcp and udp have a source port', 'leave the source port out');
  switch (word) {
    case 'tcp':
    case 'udp': {
      const port = parsePort(text);
      if (!port.ok) return port;
      const protocol = word === 'tcp' ? PROTOCOL_TCP : PROTOCOL_UDP;
      const ports = { kind: 'ports', protocol, port: port.value } as const;
      return { ok: true, value: sourcePort === undefined ? ports : { ...ports, sourcePort } };
    }
    case 'icmp':
    case 'icmpv6':
      return parseIcmp(word, text);
    case 'protocol':
      return parseOther(text);
    default:
      return word satisfies never;
  }
}

export function parsePort(text: string): Parsed<number> {
  if (NUMBER.test(text) && Number(text) <= 65535) return { ok: true, value: Number(text) };
  return refuse(`'${text}' is no port`, 'one port, from 0 to 65535');
}

function parseIcmp(word: 'icmp' | 'icmpv6', text: string): Parsed<Service> {
  const names = word === 'icmp' ? ICMP_NAMES : ICMPV6_NAMES;
  const protocol = word === 'icmp' ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
  const numbers = /^(0|[1-9]\d{0,2})(?:\/(0|[1-9]\d{0,2}))?$/.exec(text);
  const [type, code] =
    names.get(text) ??
    (numbers === null ? [-1, -1] : [Number(numbers[1]), Number(numbers[2] ?? 0)]);
  if (type < 0 || type > 255 || code > 255) {
    return refuse(
      `'${text}' is no ${word} message`,
      `TYPE or TYPE/CODE, each from 0 to 255, or ${[...names.keys()].join(', ')}`,
    );
  }
  return { ok: true, value: { kind: 'icmp', protocol, type, code } };
}

function parseOther(text: string): Parsed<Service> {
  if (!NUMBER.test(text) || Number(text) > 255)
    return refuse(`'${text}' is no protocol number`, 'a number from 0 to 255');
  const protocol = Number(text);
  const names: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };
  const name = names[protocol];
  if (name !== undefined) {
    const what = protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP ? 'a port' : 'a type';
    return refuse(`protocol ${protocol} is ${name}, and has ${what}`, `ask about ${name}`);
  }
  return { ok: true, value: { kind: 'protocol', protocol } };
}

function refuse(message: string, hint: string): { ok: false; message: string; hint: string } {
  return { ok: false, message, hint };
}
