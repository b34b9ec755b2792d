/**
 * This file finds the ends and the service of a question by the names that people use.
 *
 * An end is looked up in this order: the key of an interface in the configuration, its id, `outside:ADDRESS` (the
 * address as a sender outside would use it, even if an interface here has it), an address (of an interface, or
 * outside), the namespace of an interface's device. If two interfaces share a namespace, its name is ambiguous.
 */
import { parseAddress, refuse, sameAddress, type Parsed } from '../addr/address.ts';
import type { Endpoint, Service } from './explanation.ts';
import type { NetworkInterface } from '../policy/model.ts';
import {
  hasIcmpType,
  hasPorts,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  protocolName,
} from '../policy/protocols.ts';
import { PORT_MAX } from '../policy/rules.ts';
import { didYouMean, listWords } from '../source/suggest.ts';
import type { Config } from '../config/config.ts';
import { groupLabel } from '../policy/vpcs.ts';

const OUTSIDE = 'outside:';
const NUMBER = /^(0|[1-9]\d{0,4})$/;

/** Where findEndpoint looks. A file and a running daemon can both provide it. */
export type Known = Pick<Config, 'model' | 'interfaces'>;

/** @param mayBeGroup whether a group could have been written as well, which the hint then says */
export function findEndpoint(
  { model, interfaces }: Known,
  text: string,
  mayBeGroup = false,
): Parsed<Endpoint> {
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
    return refuse(
      `'${text}' is the namespace of ${inNamespace.length} interfaces`,
      `name one of them: ${listWords(inNamespace.map(({ name }) => name))}`,
    );
  }
  return unknown({ model, interfaces }, text, mayBeGroup);
}

function endpoint({ id }: NetworkInterface): Parsed<Endpoint> {
  return { ok: true, value: { kind: 'interface', interfaceId: id } };
}

/** Recognises anything shaped like an address, so that a typing error is reported as one. */
function looksLikeAddress(text: string): boolean {
  return /^[\d.]+(\/.*)?$/.test(text) || /^[\da-f.]*:[\da-f:.]*([/%].*)?$/i.test(text);
}

function unknown(
  { model, interfaces }: Known,
  text: string,
  mayBeGroup: boolean,
): Parsed<Endpoint> {
  const names = [...model.interfaces.values()].map(({ name }) => name);
  const groups = mayBeGroup ? [...model.groups.values()].map(groupLabel) : [];
  const namespaces = [...new Set(interfaces.flatMap(({ device }) => device.netns ?? []))].filter(
    (name) => !names.includes(name),
  );
  const meant = didYouMean(text, [...names, ...groups, ...namespaces, ...model.interfaces.keys()]);
  const spaces = namespaces.length === 0 ? '' : `; namespaces: ${listWords(namespaces)}`;
  return {
    ok: false,
    message: `there is no interface ${mayBeGroup ? 'and no group ' : ''}'${text}'${meant}`,
    hint: mayBeGroup
      ? `interfaces: ${listWords(names)}; groups: ${listWords(groups)}${spaces}; or write an address, a CIDR block, or internet`
      : `interfaces: ${listWords(names)}${spaces}; or write an address`,
  };
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

/** Parses a service: `5432` after tcp or udp, `echo`, `3` or `3/4` after icmp or icmpv6, `50` after protocol. */
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
  if (NUMBER.test(text) && Number(text) <= PORT_MAX) return { ok: true, value: Number(text) };
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
  if (hasPorts(protocol) || hasIcmpType(protocol)) {
    const name = protocolName(protocol);
    const what = hasPorts(protocol) ? 'a port' : 'a type';
    return refuse(`protocol ${protocol} is ${name}, and has ${what}`, `ask about ${name}`);
  }
  return { ok: true, value: { kind: 'protocol', protocol } };
}
