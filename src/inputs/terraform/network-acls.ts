/** Reads the entries of network ACLs of a plan or state: blocks in the ACL, and resources of their own. */
import { parseCidr, type Cidr } from '../../addr/address.ts';
import { ANY, type AclEntry, type Direction, type NetworkAcl } from '../../policy/model.ts';
import { parseProtocol } from '../../policy/protocols.ts';
import { numberOf, objectsOf, own, textOf, type JsonObject } from '../../source/json-values.ts';
import { readAclService, unreadEntry, type AclService } from '../acl-service.ts';
import type { Reading } from './reading.ts';
import type { Instance } from './resource.ts';

/** Behind all numbers that AWS gives. */
const LAST = 32_766;

export class TerraformAcl {
  /** What it is called. */
  private readonly id: string;
  private readonly entries: AclEntry[];
  private readonly doubted = new Set<Direction>();
  private made: NetworkAcl | undefined;

  constructor(id: string, entries: readonly AclEntry[]) {
    this.id = id;
    this.entries = [...entries];
  }

  /** Adds an entry, unless the ACL lists it already. */
  add(entry: AclEntry): void {
    const { direction, number } = entry;
    const isThere = this.entries.some((one) => number > 0 && one.direction === direction && one.number === number); // prettier-ignore
    if (!isThere) this.entries.push(entry);
  }

  /** There may be entries that nobody knows. */
  doubt(direction: Direction): void {
    this.doubted.add(direction);
  }

  finish(): NetworkAcl {
    const doubtful = [...this.doubted].flatMap(unreadEntries);
    // The same object for each subnet: those who compare go by it.
    this.made ??= {
      id: this.id,
      entries: [...doubtful, ...this.entries].sort((a, b) => a.number - b.number),
    };
    return this.made;
  }
}

/** The entries that an ACL has in blocks. @param removed those that resources had and a plan removes (ruleKeyOf) */
export function inlineEntries(
  reading: Reading,
  one: Instance,
  removed: ReadonlySet<string>,
): readonly AclEntry[] {
  return (['ingress', 'egress'] as const).flatMap((direction) => {
    const blocks = objectsOf(own(one.values, direction)).map((block) =>
      entryOf(block, direction, numberOf(own(block, 'rule_no')), own(block, 'action')),
    );
    const kept = blocks.filter(({ number }) => !removed.has(`${direction} ${number}`));
    // What nobody has written is what resources of their own will make of it.
    const isOpen = own(one.unknown, direction) === true && reading.isWritten(one, direction);
    return isOpen ? [...kept, ...unreadEntries(direction)] : kept;
  });
}

/** Something may refuse, and what nothing refuses may be admitted. */
function unreadEntries(direction: Direction): readonly AclEntry[] {
  return [unreadEntry(direction, false), unreadEntry(direction, true, LAST)];
}

/** An entry that is a resource of its own. */
export function ruleEntry({ values }: Instance, direction: Direction): AclEntry {
  const number = numberOf(own(values, 'rule_number'));
  return entryOf(values, direction, number, own(values, 'rule_action'));
}

/** By what such a resource is known in its ACL. */
export function ruleKeyOf(values: JsonObject): string {
  const direction = own(values, 'egress') === true ? 'egress' : 'ingress';
  return `${direction} ${String(own(values, 'rule_number'))}`;
}

function entryOf(
  block: JsonObject,
  direction: Direction,
  number: number | undefined,
  action: unknown,
): AclEntry {
  const service = serviceOf(block);
  const isAllow = textOf(action)?.toLowerCase() === 'allow';
  if (service === undefined || number === undefined) return unreadEntry(direction, isAllow, number);
  const block_ = blockOf(textOf(own(block, 'cidr_block')) ?? textOf(own(block, 'ipv6_cidr_block')));
  return { direction, ...service, number, isAllow, block: block_ };
}

function serviceOf(block: JsonObject): AclService | undefined {
  const text = textOf(own(block, 'protocol')) ?? numberOf(own(block, 'protocol'));
  const part = (name: string): number | undefined => numberOf(own(block, name));
  return readAclService({
    protocol: protocolOf(text),
    ports: [part('from_port'), part('to_port')],
    // The provider sends 0 for what is not written.
    icmp: [part('icmp_type') ?? 0, part('icmp_code') ?? 0],
  });
}

function protocolOf(text: string | number | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === 'all' || String(text) === '-1') return ANY;
  const parsed = parseProtocol(text);
  return parsed.ok ? parsed.value : undefined;
}

function blockOf(text: string | undefined): Cidr | undefined {
  const parsed = text === undefined ? undefined : parseCidr(text, 'mask');
  return parsed?.ok === true ? parsed.value : undefined;
}
