/**
 * Runs tests of devices a second time, with the kernel's fast path.
 *
 * Those of devices that it serves ask for the key. All others say what they write by `asOffloaded`, or have it from
 * `temporaryFile`: their interfaces become veth pairs. SECGROUPD_TEST_OFFLOAD=on runs any file so, by hand.
 */
import { test } from 'node:test';
import { requireOffload } from '../offload/kernel-rig.ts';

let isOn = process.env['SECGROUPD_TEST_OFFLOAD'] === 'on';

/** The key of a configuration that asks for the fast path, where it is to be tested; else nothing. */
export function offloadKey(): string {
  return isOn ? 'offload: on' : '';
}

/**
 * A configuration with devices of ours in namespaces, which take part in the fast path where that is to be tested. The
 * uplink stays what it is.
 */
export function asOffloaded(text: string): string {
  const at = text.search(/^interfaces:/m);
  if (!isOn || at < 0 || /^offload:/m.test(text)) return text;
  const pairs = text
    .slice(at)
    .replaceAll(/\bkind: (?:tun|tap)\b/g, 'kind: veth')
    .replaceAll(/\{ (?=netns: )/g, '{ kind: veth, ');
  // Behind all else: lines keep their numbers.
  return `${text.slice(0, at)}${pairs.trimEnd()}\noffload: on\n`;
}

/** Runs the tests of a file with the fast path, or skips them with the reason. */
export async function withOffload(load: () => Promise<unknown>): Promise<void> {
  let isThere = false;
  await test('there is a fast path', (t) => {
    isThere = requireOffload(t) !== undefined;
  });
  if (!isThere) return;
  isOn = true;
  await load();
}
