/** This file reads which interface `kind: attach` takes where its name is not known: by pattern, alias or MAC. */
import { canBothFit, isPattern, PAIR_MARK, type LinkMatch } from '../ports/link-match.ts';
import { isMadeHere, portKind, type PortKindName } from '../ports/port-kind.ts';
import { get, type Node } from '../source/yaml.ts';
import { fail, lineText, readText, type Place, type Reader } from './config-reader.ts';
import type { DeviceConfig } from './config.ts';
import { isMacOfHost } from './mac-text.ts';

/** IFALIASZ of linux/if.h without the closing NUL. */
const ALIAS_BYTES_MAX = 255;
const KEYS = ['alias', 'hostMac'] as const;

/**
 * @param name as it was read; undefined: it is not there, or wrong, which is reported
 * @returns undefined if the name says which interface it is
 */
export function readMatch(
  reader: Reader,
  node: Node,
  kind: PortKindName,
  name: string | undefined,
): LinkMatch | undefined {
  if (!portKind(kind).isAttached) {
    refuseKeys(reader, node, kind);
    return undefined;
  }
  const alias = readAlias(reader, get(node, 'alias'));
  const hostMac = readHostMac(reader, get(node, 'hostMac'));
  const isOneOf = alias !== undefined || hostMac !== undefined;
  const isNamed = ['name', ...KEYS].some((key) => get(node, key) !== undefined);
  if (!isNamed) {
    const hint =
      'write the name of the interface, a pattern for it (vnet*), its alias or its hostMac';
    fail(reader, node, 'missing-key', "the key 'name' is missing", hint);
  }
  if (!isOneOf && (name === undefined || !isPattern(name))) return undefined;
  if (!isOneOf && /^[*?]*$/.test(name!)) {
    const message = `'${name}' is every interface, also those of the host`;
    const hint = 'write more of the name (vnet*), its alias or its hostMac';
    fail(reader, get(node, 'name')!, 'bad-device-name', message, hint);
  }
  return {
    ...(name === undefined ? {} : { name }),
    ...(alias === undefined ? {} : { alias }),
    ...(hostMac === undefined ? {} : { hostMac }),
  };
}

function refuseKeys(reader: Reader, node: Node, kind: PortKindName): void {
  for (const key of KEYS) {
    const given = get(node, key);
    const message = `'${key}' is of no use for a ${kind}: it finds an interface that somebody else made`;
    if (given !== undefined)
      fail(reader, given, 'match-of-own-device', message, 'write kind: attach, or leave it out');
  }
}

function readAlias(reader: Reader, node: Node | undefined): string | undefined {
  const alias = readText(reader, node);
  if (alias === undefined) return undefined;
  const bytes = Buffer.byteLength(alias);
  if (bytes < 1 || bytes > ALIAS_BYTES_MAX) {
    const message = `the alias has ${bytes} bytes`;
    return fail(reader, node!, 'bad-alias', message, `Linux takes 1 to ${ALIAS_BYTES_MAX}`);
  }
  if (alias.startsWith(PAIR_MARK)) {
    const message = `an alias that begins with '${PAIR_MARK}' is that of a veth pair of secgroupd's own`;
    return fail(reader, node!, 'bad-alias', message, 'give the interface another one');
  }
  // What is no UTF-8 in an alias reads as U+FFFD, and so would be equal to another.
  if (!/[\p{C}\uFFFD]/u.test(alias)) return alias;
  const message = 'the alias has a character that nobody can read';
  return fail(
    reader,
    node!,
    'bad-alias',
    message,
    'give the interface one of printable characters',
  );
}

function readHostMac(reader: Reader, node: Node | undefined): string | undefined {
  const text = readText(reader, node)?.toLowerCase();
  if (text === undefined || isMacOfHost(text)) return text;
  const message = `'${text}' is not the MAC address of an interface`;
  const hint = "write it as 'ip link show' does: fe:54:00:00:00:11";
  return fail(reader, node!, 'bad-mac', message, hint);
}

/** What a device can be taken for. */
interface Taker {
  readonly device: DeviceConfig;
  readonly place: Place;
  readonly what: string;
}

/** Finds devices that could be one interface: it would be under the groups of whichever came first. */
export class MatchRegistry {
  /** By namespace. Names that are no patterns are compared with patterns alone: there may be thousands of each. */
  readonly #takers = new Map<string | undefined, { all: Taker[]; matched: Taker[] }>();

  add(reader: Reader, device: DeviceConfig, place: Place, what: string): void {
    if (portKind(device.kind).isStream) return;
    const { all, matched } = this.#takers.get(device.netnsPath) ?? { all: [], matched: [] };
    this.#takers.set(device.netnsPath, { all, matched });
    const others = device.match === undefined ? matched : all;
    const first = others.find((one) => canBeOne(one.device, device));
    const taker = { device, place, what };
    all.push(taker);
    if (device.match !== undefined) matched.push(taker);
    if (first === undefined) return;
    const message = `an interface can be both '${device.name}' and '${first.device.name}' of ${first.what} on ${lineText(first.place.at, place.at)}`;
    const hint =
      'tell them apart by their names, aliases or hostMac, as with name: veth* and name: vnet*';
    fail(reader, place, 'overlapping-devices', message, hint);
  }
}

function canBeOne(a: DeviceConfig, b: DeviceConfig): boolean {
  // Equal names are reported as such.
  if ((a.match === undefined && b.match === undefined) || a.name === b.name) return false;
  const [ours, other] = isMadeHere(portKind(a.kind)) ? [a, b] : [b, a];
  // Nobody gives a device of ours an alias.
  if (isMadeHere(portKind(ours.kind)) && other.match?.name === undefined) return false;
  return canBothFit(a.match ?? { name: a.name }, b.match ?? { name: b.name });
}
