/** The texts of rows about addresses that were released (released.ts). */
import { parseAddress, type Address } from '../addr/address.ts';
import type { VpcId } from '../policy/model.ts';
import { RowError, RowReader } from './row-reader.ts';

const PREFIX = '{"released":';

/** @param revision when the address was released; 0: with the row */
export function releaseText(revision: number): string {
  return `${PREFIX}${revision}}`;
}

export function isRelease(text: string | undefined): boolean {
  return text?.startsWith(PREFIX) === true;
}

/** An address that an interface has lost. */
export interface ReleasedAddress {
  readonly vpcId: VpcId;
  readonly address: Address;
}

/** The row that tells hosts of a commit's releases, with one more. @param text as it is so far */
export function releasedText(text: string | undefined, vpcId: VpcId, address: string): string {
  const before = text === undefined ? [] : (JSON.parse(text) as { addresses: string[] }).addresses;
  return JSON.stringify({ addresses: [...before, `${vpcId} ${address}`] });
}

/** The addresses of such a row; undefined: nobody of ours has written it. */
export function readReleased(text: string): readonly ReleasedAddress[] | undefined {
  try {
    return RowReader.parse('', text)
      .texts('addresses')
      .map((one) => {
        const [vpcId, address = '', ...more] = one.split(' ');
        const parsed = parseAddress(address);
        if (!parsed.ok || more.length > 0) throw new RowError('', 'is no address');
        return { vpcId, address: parsed.value };
      });
  } catch (error) {
    if (error instanceof RowError) return undefined;
    throw error;
  }
}

/** @param revision the newest release whose row was removed */
export function forgottenText(revision: number): string {
  return `{"revision":${revision}}`;
}

/**
 * Up to which revision rows of releases have been removed. Where the text says nothing that could be so, any of those
 * before it may have been.
 */
export function readForgotten(text: string, rowRevision: number): number {
  const [, digits] = /^\{"revision":([0-9]{1,15})\}$/.exec(text) ?? [];
  return digits === undefined ? rowRevision : Math.min(Number(digits), rowRevision);
}

/** When the address was released, by the text of its row and the row's revision; undefined: it is no release. */
export function readRelease(text: string, rowRevision: number): number | undefined {
  if (!isRelease(text)) return undefined;
  const since = Number.parseInt(text.slice(PREFIX.length), 10);
  return since > 0 ? since : rowRevision;
}
