/**
 * This file reads the section `names`: how long addresses of DNS names count that rules have as peers, and which ones.
 * It also checks how many names the rules of an interface have. Its schema is in schema-dns-names.ts.
 */
import { parseDnsName, DNS_PREFIX, NAMES_OF_INTERFACE_MAX } from '../policy/dns-names.ts';
import type { Direction, DnsPeer, Peer, PolicyModel } from '../policy/model.ts';
import { PROTOCOL_TCP, protocolName } from '../policy/protocols.ts';
import type { Problem } from '../source/problem.ts';
import { get, type Mapping, type Node } from '../source/yaml.ts';
import { fail, placeOf, readInteger, readWord, take, type Reader } from './config-reader.ts';
import { NAMES_LIMITS } from './limits.ts';

const CODE = 'bad-names';
const MIN = { ...NAMES_LIMITS.minLifetime, code: CODE, what: 'minLifetime' };
const MAX = { ...NAMES_LIMITS.maxLifetime, code: CODE, what: 'maxLifetime' };
const ADDRESSES = { ...NAMES_LIMITS.maxAddresses, code: CODE, what: 'maxAddresses' };

export interface NamesConfig {
  /** How long an address counts at least and at most, in seconds. */
  readonly minLifetimeSec: number;
  readonly maxLifetimeSec: number;
  /** The most addresses of names that an interface has at once. */
  readonly maxAddresses: number;
  /** What becomes of an address of a private network that an answer has. */
  readonly privateAddresses: 'refuse' | 'accept';
}

export function readNames(reader: Reader, section: Node | undefined): NamesConfig {
  if (section !== undefined && section.kind !== 'mapping')
    reader.misses.push({ node: section, expected: 'a mapping' });
  const minLifetimeSec = readInteger(reader, section, 'minLifetime', MIN) ?? MIN.otherwise;
  const maxLifetimeSec = readInteger(reader, section, 'maxLifetime', MAX) ?? MAX.otherwise;
  if (minLifetimeSec > maxLifetimeSec) {
    const message = `minLifetime ${minLifetimeSec} is more than maxLifetime ${maxLifetimeSec}`;
    const at = get(section, 'minLifetime') ?? get(section, 'maxLifetime') ?? section!;
    fail(reader, at, CODE, message, 'lower the one, or raise the other');
  }
  return {
    minLifetimeSec,
    maxLifetimeSec,
    maxAddresses: readInteger(reader, section, 'maxAddresses', ADDRESSES) ?? ADDRESSES.otherwise,
    privateAddresses: readWord(reader, section, 'privateAddresses', ['refuse', 'accept'], 'refuse'),
  };
}

/** Reads a peer that begins with `dns:`. Only egress rules have one. */
export function readDnsPeer(
  reader: Reader,
  node: Node,
  text: string,
  direction: Direction,
): DnsPeer | undefined {
  if (direction === 'ingress') {
    const message = `an ingress rule can't have the DNS name '${text}' as its source`;
    const hint =
      'names are for egress: they are learnt from the answers that the sender of the first packet gets';
    return fail(reader, node, 'dns-name-ingress', message, hint);
  }
  const name = take(reader, node, 'bad-dns-name', parseDnsName(text.slice(DNS_PREFIX.length)));
  return name === undefined ? undefined : { kind: 'dns', name };
}

export interface PeerAt {
  readonly peer: Peer;
  readonly node: Node;
}

/** Reads `tlsName` of a rule. @returns its peers, which require the name of TLS if it says so */
export function readTlsName(
  reader: Reader,
  item: Mapping,
  protocol: number,
  peers: readonly PeerAt[],
): readonly PeerAt[] {
  const node = get(item, 'tlsName');
  if (node === undefined) return peers;
  readWord(reader, item, 'tlsName', ['required'], 'required');
  if (protocol !== PROTOCOL_TCP) {
    const message = `a rule for ${protocolName(protocol)} has no server name of TLS`;
    const hint = 'tlsName is for tcp: QUIC, which is TLS over UDP, says its name encrypted';
    fail(reader, node, 'tls-name-without-tcp', message, hint);
  }
  return peers.flatMap((one) => {
    if (one.peer.kind === 'dns') return [{ ...one, peer: { ...one.peer, tlsName: true } as const }];
    const message = 'tlsName is required beside a peer that is no DNS name';
    const hint = 'write a rule of its own for dns: peers';
    return fail(reader, one.node, 'tls-name-without-name', message, hint) ?? [];
  });
}

/** Whether a text that is no block looks like a DNS name. */
export function looksLikeDnsName(text: string): boolean {
  return text.includes('.') && parseDnsName(text).ok;
}

/** Reports interfaces whose rules have more names than a question is compared with. */
export function checkNames({ interfaces, groups }: PolicyModel): Problem[] {
  return [...interfaces.values()].flatMap(({ name, groupIds, origin }) => {
    const names = new Set(
      groupIds
        .flatMap((id) => groups.get(id)?.egress ?? [])
        .flatMap(({ peer }) => (peer.kind === 'dns' ? [peer.name] : [])),
    );
    if (names.size <= NAMES_OF_INTERFACE_MAX) return [];
    const { at, path } = placeOf(origin);
    const message = `the rules of the interface '${name}' have ${names.size} DNS names, more than ${NAMES_OF_INTERFACE_MAX}`;
    const hint = 'name a parent, as *.example.com, or prefix lists where the addresses are known';
    return [{ severity: 'error', code: 'too-many-dns-names', at, path, message, hint }];
  });
}
