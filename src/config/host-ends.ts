/**
 * Names of the host's ends of veth pairs (ports/pair.ts). They follow from the place of the device, so that a later
 * process finds its pairs, and nobody has to choose them.
 */
import { resolve } from 'node:path';
import { sha256 } from '../policy/ids.ts';
import type { HostEnd } from '../ports/host-side.ts';
import { PAIR_MARK } from '../ports/link-match.ts';
import type { Config, InterfaceConfig } from './config.ts';

/** With 12 digits it is as long as Linux takes it. A device that a door names begins otherwise (doors/names.ts). */
const NAME_PREFIX = 'sgv';
const NAME_DIGITS = 12;
const OWNER_DIGITS = 8;

/** At the start of the aliases of one daemon: two on a host have different files. */
export function pairMark({ file }: Pick<Config, 'file'>): string {
  return `${PAIR_MARK}${sha256(resolve(file)).slice(0, OWNER_DIGITS)} `;
}

/** `sgv1f0c92d6b3aa`, with the alias `secgroupd 5d41402a eni-0123456789abcdef0 web`. */
export function hostEndOf(
  config: Pick<Config, 'file'>,
  { id, name, device }: InterfaceConfig,
): HostEnd {
  const place = JSON.stringify([device.netnsPath ?? null, device.name]);
  return {
    name: `${NAME_PREFIX}${sha256(place).slice(0, NAME_DIGITS)}`,
    alias: `${pairMark(config)}${id}${name === id ? '' : ` ${name}`}`,
  };
}
