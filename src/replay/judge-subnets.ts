/**
 * Judges packets by what AWS asks beside groups, where an input has it: the network ACLs and the routes of subnets.
 *
 * Theory of operation. policy/subnets.ts says which services pass between two ends. Here each packet is asked about by
 * itself. An ACL has no memory, so each packet of a capture meets the entries for its own way and its own port, be it
 * an answer or not. A flow log has one packet for a flow, the one that opens it, and the answers of TCP are asked about
 * with it. Routes are a matter of flows: whoever opens one needs a route to the other end, and the other end one back.
 *
 * What a subnet says of an address is the same for all packets, so it is remembered, within a bound. What the input
 * does not decide is refused here, and told as undecidable.
 */
import { formatCidr, type Address } from '../addr/address.ts';
import { EGRESS, INGRESS } from '../engine/counters.ts';
import { PASS } from '../engine/reasons.ts';
import { rulePort } from '../engine/scope.ts';
import { blockIncludes } from '../policy/doubt.ts';
import type { AclEntry, Direction, NetworkInterface, SubnetFilters } from '../policy/model.ts';
import { PROTOCOL_TCP } from '../policy/protocols.ts';
import { serviceText } from '../policy/rules.ts';
import { hasService, serviceNumber } from '../policy/service-set.ts';
import {
  aclServices,
  entryFor,
  routePassages,
  type Passage,
  type SubnetEnd,
} from '../policy/subnets.ts';
import { FRAGMENT_LATER, type Packet } from '../wire/packet.ts';

/** Why a subnet refuses, beside the drop reasons of the engine: numbers that none of those has. */
export const NETWORK_ACL = 254;
export const ROUTE = 255;

/** Addresses that are remembered at an interface; then all are forgotten. */
const REMEMBERED_MAX = 65_536;

type Admitted = Pick<Passage, 'sure' | 'maybe'>;

/** What the subnet of an interface asks of what goes to an address, or comes from it. */
interface Sides {
  readonly subnet: SubnetFilters;
  readonly end: SubnetEnd;
  /** Undefined: the input has no ACL of it. */
  readonly out: Admitted | undefined;
  readonly in: Admitted | undefined;
  /** The route for what the interface opens, and for what is opened to it; undefined: the input has none. */
  readonly routeOut: Passage | undefined;
  readonly routeIn: Passage | undefined;
}

export interface SubnetRefusal {
  /** A clause that says what refuses. */
  readonly text: string;
  readonly isCertain: boolean;
}

export class SubnetJudge {
  /** Of the packet judged last: PASS, or what refused it, where and how. */
  reason = PASS;
  port = 0;
  direction = INGRESS;
  refusal: SubnetRefusal | undefined;
  private readonly interfaces: readonly (NetworkInterface | undefined)[];
  private readonly isOfFlows: boolean;
  private readonly remembered: Map<number | string, Sides>[] = [];
  /** Refusals are put in words: it costs much more than judging. */
  private tells = false;

  /**
   * @param interfaces by port; undefined is outside
   * @param isOfFlows whether a packet stands for its whole flow, with the answers of TCP
   */
  constructor(interfaces: readonly (NetworkInterface | undefined)[], isOfFlows: boolean) {
    this.interfaces = interfaces;
    this.isOfFlows = isOfFlows;
  }

  /**
   * @param from the port that it came by. @param to the one that it goes to
   * @param opens whether it is from who opened its flow
   */
  passes(packet: Packet, from: number, to: number, opens: boolean): boolean {
    this.reason = PASS;
    // It goes where the first fragment goes, and has no ports.
    if (packet.fragment === FRAGMENT_LATER) return true;
    const [source, target] = [this.interfaces[from]?.subnet, this.interfaces[to]?.subnet];
    if (source !== undefined && source.id === target?.id) return true;
    const { protocol, srcPort } = packet;
    const service = serviceNumber(protocol, rulePort(packet));
    const answers =
      this.isOfFlows && protocol === PROTOCOL_TCP ? serviceNumber(protocol, srcPort) : undefined;
    return (
      (source === undefined || this.leaves(packet, from, to, service, answers, opens)) &&
      (target === undefined || this.arrives(packet, from, to, service, answers, opens))
    );
  }

  /** Says in words what refuses a packet that `passes` has refused. */
  tell(packet: Packet, from: number, to: number, opens: boolean): void {
    this.tells = true;
    this.refusal = undefined;
    this.passes(packet, from, to, opens);
    this.tells = false;
  }

  private leaves(
    packet: Packet,
    from: number,
    to: number,
    service: number,
    answers: number | undefined,
    opens: boolean,
  ): boolean {
    const { dst0, dst1, dst2, dst3 } = packet;
    const sides = this.sidesOf(from, to, packet.family, dst0, dst1, dst2, dst3);
    return (
      this.askRoute(opens ? sides.routeOut : sides.routeIn, from, EGRESS, service) &&
      this.askAcl(sides, 'out', service, from, EGRESS, false) &&
      (answers === undefined || this.askAcl(sides, 'in', answers, from, EGRESS, true))
    );
  }

  private arrives(
    packet: Packet,
    from: number,
    to: number,
    service: number,
    answers: number | undefined,
    opens: boolean,
  ): boolean {
    const { src0, src1, src2, src3 } = packet;
    const sides = this.sidesOf(to, from, packet.family, src0, src1, src2, src3);
    return (
      this.askAcl(sides, 'in', service, to, INGRESS, false) &&
      (answers === undefined || this.askAcl(sides, 'out', answers, to, INGRESS, true)) &&
      this.askRoute(opens ? sides.routeIn : sides.routeOut, to, INGRESS, service)
    );
  }

  private askAcl(
    sides: Sides,
    way: 'in' | 'out',
    service: number,
    port: number,
    direction: number,
    isAnswer: boolean,
  ): boolean {
    const admitted = sides[way];
    if (admitted === undefined || hasService(admitted.sure, service)) return true;
    const isCertain = !hasService(admitted.maybe, service);
    const refuse = (): string => aclText(sides, way, service, isAnswer);
    return this.refuse(NETWORK_ACL, port, direction, isCertain, refuse);
  }

  private askRoute(
    route: Passage | undefined,
    port: number,
    direction: number,
    service: number,
  ): boolean {
    if (route === undefined || hasService(route.sure, service)) return true;
    const isCertain = !hasService(route.maybe, service);
    return this.refuse(ROUTE, port, direction, isCertain, () => route.name);
  }

  private refuse(
    reason: number,
    port: number,
    direction: number,
    isCertain: boolean,
    text: () => string,
  ): false {
    this.reason = reason;
    this.port = port;
    this.direction = direction;
    if (this.tells) this.refusal = { text: text(), isCertain };
    return false;
  }

  /** What the subnet of `own` says of the address a0 … a3, which is that of the port `other`. */
  private sidesOf(
    own: number,
    other: number,
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): Sides {
    const known = (this.remembered[own] ??= new Map<number | string, Sides>());
    const key = family === 4 ? a0 : `${a0} ${a1} ${a2} ${a3}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    if (known.size === REMEMBERED_MAX) known.clear();
    const address: Address =
      family === 4 ? { family, words: [a0] } : { family: 6, words: [a0, a1, a2, a3] };
    const made = sidesBetween(this.interfaces[own]!, address, this.interfaces[other]);
    known.set(key, made);
    return made;
  }
}

function sidesBetween(
  own: NetworkInterface,
  address: Address,
  other: NetworkInterface | undefined,
): Sides {
  const subnet = own.subnet!;
  const isIn: SubnetEnd['isIn'] = (block) => blockIncludes(block, address, other);
  const end = { own: other, isIn };
  const admitted = (direction: Direction): Admitted | undefined =>
    subnet.acl === undefined ? undefined : aclServices(subnet.acl, direction, isIn);
  const route = (way: 'in' | 'out'): Passage | undefined =>
    routePassages(own, end, way, address.family).at(0);
  return {
    ...{ subnet, end, out: admitted('egress'), in: admitted('ingress') },
    ...{ routeOut: route('out'), routeIn: route('in') },
  };
}

/** `the network ACL acl-1 of subnet-1, on the way in: entry 90 denies tcp 22 from 0.0.0.0/0`. */
function aclText(
  { subnet, end }: Sides,
  way: 'in' | 'out',
  service: number,
  isAnswer: boolean,
): string {
  const acl = subnet.acl!;
  const name = `the network ACL ${acl.id} of ${subnet.id}, ${isAnswer ? 'for answers ' : ''}on the way ${way}`;
  const entry = entryFor(acl, way === 'in' ? 'ingress' : 'egress', end.isIn, service);
  return `${name}: ${entry === undefined ? 'no entry allows it' : entryText(entry)}`;
}

function entryText(entry: AclEntry): string {
  const { number, isAllow, block, direction } = entry;
  const verb = isAllow ? 'allows' : 'denies';
  if (block === undefined) return `entry ${number} ${verb} what could not be read`;
  const word = direction === 'ingress' ? 'from' : 'to';
  return `entry ${number} ${verb} ${serviceText(entry)} ${word} ${formatCidr(block)}`;
}
