/**
 * This file follows the path of a packet before and between the gates: whether the question can be asked, the ports
 * where the packet enters and leaves, and what drops it before any rule is read. Order and names are those of
 * engine/evaluate.ts. A test sends the same packets through both. Sources: RFC 6890, RFC 4291 section 2.4 (addresses
 * that no packet on a wire may have).
 */
import { formatAddress, sameAddress, type Address, type Family } from '../addr/address.ts';
import type {
  CheckAnswer,
  End,
  Endpoint,
  FamilyAnswer,
  Network,
  Question,
  Service,
} from './explanation.ts';
import {
  CLASS_E,
  isNeighbourMessage,
  isLinkLocal6,
  LOOPBACK_4,
  MAPPED_WORD,
  MULTICAST_4,
} from '../engine/scope.ts';
import type { NetworkInterface } from '../policy/model.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, protocolName } from '../policy/protocols.ts';
import { isInPlatformBlock } from '../policy/special-addresses.ts';

/** IPv6 extension headers. They are skipped, and rules see the header after them (RFC 8200 section 4). */
const IPV6_EXTENSIONS: ReadonlySet<number> = new Set([0, 43, 44, 60]);

/** The first byte of an IPv6 multicast address. */
const MULTICAST_6 = 0xff;

/** One end in one family. */
export interface Side {
  readonly address: Address;
  /** The interface that the packet leaves or reaches by; undefined for the uplink. */
  readonly network: NetworkInterface | undefined;
}

export interface Path {
  readonly from: Side;
  readonly to: Side;
}

/** Finds the ends in a family, or why the question can't be asked in it. */
export function choosePath(
  network: Network,
  question: Question,
  family: Family,
): Path | { readonly why: string } {
  const wrongFamily = serviceMisfit(question.service, family);
  if (wrongFamily !== undefined) return { why: wrongFamily };
  const from = chooseSide(network, question.from, family);
  if ('why' in from) return from;
  const to = chooseSide(network, question.to, family);
  if ('why' in to) return to;
  // A destination is routed by its address, whether or not the question calls it an interface.
  const owner = to.network ?? ownerOf(network, to.address);
  return { from, to: { ...to, network: owner } };
}

function serviceMisfit(service: Service, family: Family): string | undefined {
  const { protocol } = service;
  if (service.kind === 'icmp' && (protocol === PROTOCOL_ICMP) !== (family === 4))
    return `${protocolName(protocol)} is for IPv${family === 4 ? 6 : 4}`;
  if (family === 6 && IPV6_EXTENSIONS.has(protocol))
    return `protocol ${protocol} is an extension header in IPv6: what follows it is judged`;
  return undefined;
}

function chooseSide(
  { model }: Network,
  end: Endpoint,
  family: Family,
): Side | { readonly why: string } {
  if (end.kind === 'address') {
    return end.address.family === family
      ? { address: end.address, network: undefined }
      : { why: `${formatAddress(end.address)} is an IPv${end.address.family} address` };
  }
  const network = model.interfaces.get(end.interfaceId)!;
  if (end.address !== undefined) {
    return end.address.family === family
      ? { address: end.address, network }
      : { why: `${formatAddress(end.address)} is an IPv${end.address.family} address` };
  }
  const address = network.addresses.find((one) => one.family === family);
  return address === undefined
    ? { why: `${network.name} has no IPv${family} address` }
    : { address, network };
}

/** Finds the interface that has the address. */
export function ownerOf({ model }: Network, address: Address): NetworkInterface | undefined {
  for (const network of model.interfaces.values())
    if (network.addresses.some((own) => sameAddress(own, address))) return network;
  return undefined;
}

/** Checks for a configured platform service, which egress gates never filter. */
export function isExempt({ special }: Network, address: Address, service: Service): boolean {
  if (service.kind !== 'ports') return false;
  const { protocol, port } = service;
  return special.exempt.some(
    (one) => one.protocol === protocol && one.port === port && sameAddress(one.address, address),
  );
}

function isReservedForPlatform({ special }: Network, address: Address): boolean {
  return special.reserved.some((one) => sameAddress(one, address));
}

/** Checks for an address in 169.254.0.0/16 or fd00:ec2::/32 without a service (engine/scope.ts). */
function isUnprovided({ special }: Network, address: Address): boolean {
  const { family, words } = address;
  if (!isInPlatformBlock(family, words[0])) return false;
  const provided = [...special.exempt.map((one) => one.address), ...special.uplink];
  return !provided.some((one) => sameAddress(one, address));
}

export function describeEnd(network: Network, { address, network: owner }: Side): End {
  const text = formatAddress(address);
  if (owner !== undefined && owner.isPlatform !== true)
    return { kind: 'interface', id: owner.id, name: owner.name, address: text };
  return { kind: isReservedForPlatform(network, address) ? 'platform' : 'outside', address: text };
}

/** Runs all checks before the gates, up to the first that refuses. */
export function checkPath(network: Network, { from, to }: Path, service: Service): CheckAnswer[] {
  const source = formatAddress(from.address);
  const destination = formatAddress(to.address);
  const checks: CheckAnswer[] = [];
  const ask = (
    check: CheckAnswer['check'],
    refusal: string | undefined,
    passes: string,
  ): boolean => {
    const refused = refusal !== undefined;
    checks.push({ check, outcome: refused ? 'refused' : 'passed', why: refusal ?? passes });
    return !refused;
  };
  const goesOn =
    ask(
      'link-scope',
      linkScopeText(from.address, to.address, service),
      `${destination} is beyond the link`,
    ) &&
    ask(
      'martian',
      martianText(network, from.address, to.address),
      'both addresses may be on a wire',
    ) &&
    askSource(network, from, source, ask);
  if (goesOn) ask('no-route', routeRefusal(network, from, to, service), routeText(to, destination));
  return checks;
}

function askSource(
  network: Network,
  from: Side,
  source: string,
  ask: (check: CheckAnswer['check'], refusal: string | undefined, passes: string) => boolean,
): boolean {
  if (from.network !== undefined)
    return ask('source-check', undefined, `${source} is an address of ${from.network.name}`);
  const owner = ownerOf(network, from.address);
  return ask(
    'uplink-spoof',
    owner === undefined
      ? undefined
      : `${source} comes from outside and is an address of ${owner.name}`,
    `${source} is no address of an interface here`,
  );
}

function routeRefusal(
  network: Network,
  from: Side,
  to: Side,
  service: Service,
): string | undefined {
  if (from.network === undefined && !network.hasUplink)
    return 'there is no uplink: nothing comes in from outside';
  if (to.network?.isPlatform === true) {
    if (from.network === undefined) return `${formatAddress(to.address)} is for instances here`;
    if (!isExempt(network, to.address, service))
      return `${formatAddress(to.address)} is for services of the platform, and this is none of those in platformServices`;
  }
  if (from.network?.isPlatform === true && to.network === undefined)
    return 'the platform answers instances here, and nobody else';
  if (to.network !== undefined) return undefined;
  if (from.network === undefined) return 'both ends are outside: it does not come this way';
  if (!network.hasUplink)
    return `no interface has ${formatAddress(to.address)}, and there is no uplink`;
  if (isUnprovided(network, to.address))
    return `${formatAddress(to.address)} is for services of the platform, and platformServices names none at it`;
  return undefined;
}

function routeText(to: Side, destination: string): string {
  if (to.network?.isPlatform === true) return `the platform answers at ${destination}`;
  return to.network === undefined
    ? `${destination} is reached by the uplink`
    : `${destination} is an address of ${to.network.name}`;
}

/** Explains why the packet can't leave its link (engine/scope.ts). Undefined if it can. */
function linkScopeText(
  source: Address,
  destination: Address,
  service: Service,
): string | undefined {
  const ends = "groups don't filter it, and it is not forwarded";
  if (isMulticast(destination) || isLinkLocal(destination))
    return `${formatAddress(destination)} ends at the link: ${ends}`;
  if (isLinkLocal(source)) return `${formatAddress(source)} speaks to its link alone: ${ends}`;
  if (
    service.kind === 'icmp' &&
    service.protocol === PROTOCOL_ICMPV6 &&
    isNeighbourMessage(service.type)
  )
    return `ICMPv6 type ${service.type} is between neighbours: ${ends}`;
  return undefined;
}

/** Checks for a multicast or broadcast address. */
function isMulticast({ family, words }: Address): boolean {
  const first = words[0] >>> 24;
  if (family === 6) return first === MULTICAST_6;
  return (first >= MULTICAST_4 && first < CLASS_E) || words[0] === -1;
}

function isClassE({ family, words }: Address): boolean {
  return family === 4 && words[0] >>> 24 >= CLASS_E && words[0] !== -1;
}

function isLinkLocal({ family, words }: Address): boolean {
  return family === 6 && isLinkLocal6(words[0]);
}

function martianText(
  { special }: Network,
  source: Address,
  destination: Address,
): string | undefined {
  const isLoose = (address: Address): boolean =>
    isReserved(address) || (isClassE(address) && !special.allowsClassE);
  const wrong = isMulticast(source) || isLoose(source) ? source : destination;
  if (wrong === destination && !isLoose(destination)) return undefined;
  return `no packet on a wire has ${formatAddress(wrong)} as its ${wrong === source ? 'source' : 'destination'}`;
}

/** Checks for unspecified, loopback and IPv4-mapped addresses. */
function isReserved({ family, words }: Address): boolean {
  if (family === 4) return words[0] >>> 24 === LOOPBACK_4 || words[0] >>> 24 === 0;
  if (words[0] !== 0 || words[1] !== 0) return false;
  return words[2] === MAPPED_WORD || (words[2] === 0 && (words[3] === 0 || words[3] === 1));
}

/** Collects notes about the ends that the verdict does not show. */
export function notesOnPath(
  network: Network,
  { from, to }: Path,
  question: Question,
): FamilyAnswer['notes'] {
  const notes: string[] = [];
  if (
    from.network !== undefined &&
    to.network?.isPlatform !== true &&
    isReservedForPlatform(network, to.address) &&
    !isExempt(network, to.address, question.service)
  ) {
    notes.push(
      `${formatAddress(to.address)} is the platform's; what platformServices does not name is judged as any traffic`,
    );
  }
  if (from.network !== undefined && from.network === to.network)
    notes.push(`what ${from.network.name} sends to itself stays inside and meets no gate`);
  for (const [end, side] of [
    [question.from, from],
    [question.to, to],
  ] as const) {
    if (end.kind !== 'interface' || end.address !== undefined || side.network === undefined)
      continue;
    const { family } = side.address;
    const others = side.network.addresses.filter((one) => one.family === family);
    if (others.length > 1) {
      notes.push(
        `${side.network.name} has ${others.length} IPv${family} addresses; ask about another by naming it`,
      );
    }
  }
  return notes;
}
