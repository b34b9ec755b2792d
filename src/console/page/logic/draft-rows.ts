/** This file has the rows of the form in which a group is drafted, and makes rules of them again. */
import type { GroupDraft, PermissionDraft } from '../../contract.ts';

export type Direction = 'ingress' | 'egress';

/** A rule as it is typed. Fields that its protocol has not are empty. */
export interface DraftRow {
  /** Tells it from the other rows as long as the form is open. */
  readonly key: number;
  readonly protocol: string;
  readonly ports: string;
  readonly type: string;
  readonly code: string;
  readonly peer: string;
  readonly description: string;
  /** The name of its peer is required of TLS too. The form keeps it. */
  readonly isTlsNameRequired: boolean;
  readonly audit: boolean;
}

export type DraftRows = Readonly<Record<Direction, readonly DraftRow[]>>;

export const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];

let lastKey = 0;

export function emptyRow(direction: Direction): DraftRow {
  return {
    key: ++lastKey,
    protocol: 'tcp',
    ports: '443',
    type: '',
    code: '',
    peer: direction === 'ingress' ? '10.0.0.0/8' : '0.0.0.0/0',
    description: '',
    isTlsNameRequired: false,
    audit: false,
  };
}

export function rowsOf({ ingress, egress }: GroupDraft): DraftRows {
  return { ingress: ingress.map(rowOf), egress: egress.map(rowOf) };
}

function rowOf(rule: PermissionDraft): DraftRow {
  return {
    key: ++lastKey,
    protocol: rule.protocol,
    ports: rule.ports ?? '',
    type: rule.type ?? '',
    code: rule.code ?? '',
    peer: rule.peer,
    description: rule.description ?? '',
    isTlsNameRequired: rule.tlsName === 'required',
    audit: rule.audit === true,
  };
}

/** The draft that the rows are, as the server takes it. */
export function draftOf(group: string, rows: DraftRows): GroupDraft {
  return { group, ingress: rows.ingress.map(ruleOf), egress: rows.egress.map(ruleOf) };
}

function ruleOf({
  protocol,
  ports,
  type,
  code,
  peer,
  description,
  isTlsNameRequired,
  audit,
}: DraftRow): PermissionDraft {
  const hasPortsHere = hasPorts(protocol);
  const hasType = hasIcmpType(protocol);
  return {
    protocol: protocol.trim(),
    ...(hasPortsHere && ports.trim() !== '' ? { ports: ports.trim() } : {}),
    ...(hasType && type.trim() !== '' ? { type: type.trim() } : {}),
    ...(hasType && code.trim() !== '' ? { code: code.trim() } : {}),
    peer: peer.trim(),
    ...(description.trim() === '' ? {} : { description: description.trim() }),
    ...(isTlsNameRequired ? { tlsName: 'required' } : {}),
    ...(audit ? { audit: true } : {}),
  };
}

export function hasPorts(protocol: string): boolean {
  return protocol === 'tcp' || protocol === 'udp';
}

export function hasIcmpType(protocol: string): boolean {
  return protocol === 'icmp' || protocol === 'icmpv6';
}

/** Whether two drafts say the same. */
export function isSameDraft(one: GroupDraft, other: GroupDraft): boolean {
  const textOf = (draft: GroupDraft): string => {
    const { group, ingress, egress } = draftOf(draft.group, rowsOf(draft));
    return JSON.stringify([group, ingress, egress]);
  };
  return textOf(one) === textOf(other);
}

/** Reads the path of a problem: `ingress[0].ports` → row 0 of ingress. Undefined: it is about the whole draft. */
export function rowOfPath(
  path: string,
): { direction: Direction; row: number; field: string } | undefined {
  const match = /^(ingress|egress)\[(\d+)\](?:\.(\w+))?/.exec(path);
  if (match === null) return undefined;
  const [, direction, row, field = ''] = match;
  return { direction: direction as Direction, row: Number(row), field };
}
