/** Knows the blocks that are for documentation, and of nobody. */
import { cidrContains, parseCidr, type Address } from '../addr/address.ts';

/** Sources: RFC 5737, RFC 3849, RFC 9637. */
const BLOCKS = [
  '192.0.2.0/24',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '2001:db8::/32',
  '3fff::/20',
].map((text) => {
  const parsed = parseCidr(text, 'refuse');
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
});

export function isDocumentation(address: Address): boolean {
  return BLOCKS.some((block) => cidrContains(block, address));
}
