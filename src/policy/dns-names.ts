/**
 * This file reads DNS names that are peers of egress rules, and says what their form and identity in a compiled policy
 * are.
 *
 * A name is kept in one form: lower case, A-labels (RFC 5890), no dot at the end. `*.example.com` stands for every name
 * below example.com at any depth, and not for example.com itself, as a wildcard of DNS does (RFC 4592 section 4.2).
 */
import { domainToASCII } from 'node:url';
import { refuse, type Parsed } from '../addr/address.ts';
import { sha256 } from './ids.ts';
import type { DnsPeer } from './model.ts';

/** What a peer that is a name begins with, as written. */
export const DNS_PREFIX = 'dns:';

/** The most names that the rules of an interface may have. A question of the interface is compared with so many. */
export const NAMES_OF_INTERFACE_MAX = 64;

/** RFC 1035 section 2.3.4: 255 bytes with a length for each label and for the root. */
const NAME_CHARS_MAX = 253;
const LABEL_CHARS_MAX = 63;
const WILDCARD = '*.';

/** Reads a name without its prefix, `api.example.com` or `*.example.com`. */
export function parseDnsName(text: string): Parsed<string> {
  const isWildcard = text.startsWith(WILDCARD);
  const written = (isWildcard ? text.slice(WILDCARD.length) : text).replace(/\.$/, '');
  if (written === '' || text === '*')
    return refuse(
      `'${text}' is not a DNS name`,
      'write a name as api.example.com, or *.example.com; for everywhere write ["0.0.0.0/0", "::/0"]',
    );
  if (written.includes('*'))
    return refuse(
      `'${text}' has a * that is not the whole first label`,
      'write *.example.com: it stands for every name below example.com',
    );
  // What is ASCII is not converted: it would make an address of 0x7f.1.
  const name = /^[\0-\x7f]*$/.test(written) ? written.toLowerCase() : domainToASCII(written);
  if (name.length > NAME_CHARS_MAX)
    return refuse(
      `the DNS name has ${name.length} characters`,
      `at most ${NAME_CHARS_MAX} (RFC 1035)`,
    );
  const labels = name.split('.');
  const wrong = labels.find((label) => !isLabel(label));
  if (wrong !== undefined)
    return refuse(
      wrong === ''
        ? `'${text}' has an empty label, or characters that no name has`
        : `'${wrong}' in '${text}' is not a label of a DNS name`,
      'a label has 1 to 63 letters, digits, hyphens and underscores, and no hyphen at either end',
    );
  if (/^\d+$/.test(labels.at(-1)!))
    return refuse(`'${text}' looks like an address`, 'write the block itself, without dns:');
  return { ok: true, value: isWildcard ? `${WILDCARD}${name}` : name };
}

function isLabel(label: string): boolean {
  return label.length <= LABEL_CHARS_MAX && /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/.test(label);
}

/** The words behind a name in the text of a rule that requires it as TLS's server name. */
const TLS_NAME_WORDS = ' (TLS name required)';

/** A peer that is a name, in the text of rules. What is the same for the same peer. */
export function dnsPeerText({ name, tlsName }: Omit<DnsPeer, 'kind'>): string {
  return `${DNS_PREFIX}${name}${tlsName === true ? TLS_NAME_WORDS : ''}`;
}

/** Whether a peer that is a name admits all that another one admits. */
export function coversDnsPeer(outer: DnsPeer, inner: DnsPeer): boolean {
  return coversName(outer.name, inner.name) && (outer.tlsName !== true || inner.tlsName === true);
}

/** Whether the name stands for all names below another one. */
export function isWildcardName(name: string): boolean {
  return name.startsWith(WILDCARD);
}

/** Whether a name that a rule has stands for everything that another one stands for. */
export function coversName(outer: string, inner: string): boolean {
  if (outer === inner) return true;
  return isWildcardName(outer) && inner.endsWith(outer.slice(1)) && inner !== outer.slice(2);
}

/** The labels as a message has them, each behind its length, without the root; of a wildcard those behind `*`. */
export function wireForm(name: string): Uint8Array {
  const plain = isWildcardName(name) ? name.slice(WILDCARD.length) : name;
  const bytes = Buffer.from(`.${plain}`, 'latin1');
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf('.', at + 1);
    const next = end < 0 ? bytes.length : end;
    bytes[at] = next - at - 1;
    at = next;
  }
  return bytes;
}

/**
 * Two int32 words that stand for the name in what packet loops keep from one policy to the next. They are of a
 * SHA-256, so a name that comes later does not have those of one that is gone, as a number that is used again would.
 */
export function nameIdentity(name: string): readonly [number, number] {
  const digest = sha256(name);
  return [
    Number.parseInt(digest.slice(0, 8), 16) | 0,
    Number.parseInt(digest.slice(8, 16), 16) | 0,
  ];
}
