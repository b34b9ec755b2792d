/**
 * Finds the host's end of a container's veth pair, for when another plugin has made the interface.
 *
 * What that plugin says of the host's side is not enough: a result lists bridges too, and in an order of its own. The
 * wrong device would leave the container unguarded and cut another one off. So the kernel is asked: each end of a pair
 * knows the index of the other.
 */
import { execFile } from 'node:child_process';
import { isObject, type JsonObject } from '../json-input.ts';
import { CniError, CODES } from './failure.ts';
import { badConfig } from './network-config.ts';

const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES_MAX = 16 << 20;
/** Where ip and nsenter are: runtimes do not hand on a PATH that has them all. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

interface Link {
  readonly index: number;
  /** The index of the other end, in its own namespace. */
  readonly peer: number;
  readonly name: string;
}

/**
 * The name of the device in this namespace that `ifName` of the namespace `netns` is a pair with.
 * @throws CniError if it is not there, or is no end of a veth pair that has the other end here
 */
export async function findHostEnd(netns: string, ifName: string): Promise<string> {
  const inside = await links('nsenter', `--net=${netns}`, 'ip', ...SHOW);
  const own = inside.find(({ name }) => name === ifName);
  if (own === undefined)
    throw badConfig(
      `${ifName} in ${netns} is no end of a veth pair: secgroupd goes behind a plugin that makes one, such as bridge or ptp`,
    );
  const host = (await links('ip', ...SHOW)).find(
    ({ index, peer }) => index === own.peer && peer === own.index,
  );
  if (host !== undefined) return host.name;
  throw badConfig(`the other end of ${ifName} in ${netns} is not in the namespace of the host`);
}

/**
 * Takes the host's addresses off a device, and the routes into it. ptp gives it the gateway's address and a route to
 * the container: both are the daemon's now, and the host would be cut off by them.
 */
export async function clearHostEnd(name: string): Promise<void> {
  await execute('ip', ['address', 'flush', 'dev', name, 'scope', 'global']);
  for (const family of ['-4', '-6']) await execute('ip', [family, 'route', 'flush', 'dev', name]);
}

/** Takes a device down: what is left of its container reaches nothing any more. */
export async function takeDown(name: string): Promise<void> {
  await execute('ip', ['link', 'set', 'dev', name, 'down']);
}

const SHOW = ['-json', '-details', 'link', 'show', 'type', 'veth'];

async function links(program: string, ...args: string[]): Promise<readonly Link[]> {
  const text = (await execute(program, args)).trim();
  const read: unknown = text === '' ? [] : JSON.parse(text);
  return (Array.isArray(read) ? read : []).flatMap((one) => (isObject(one) ? linkOf(one) : []));
}

/** A pair with both ends in one namespace has no `link_index`, and is no container's. */
function linkOf({ ifindex, link_index: peer, ifname }: JsonObject): readonly Link[] {
  if (typeof ifindex !== 'number' || typeof peer !== 'number' || typeof ifname !== 'string')
    return [];
  return [{ index: ifindex, peer, name: ifname }];
}

function execute(program: string, args: readonly string[]): Promise<string> {
  const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX, env: { PATH } };
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (error.code === ('ENOENT' as never))
        reject(new CniError(CODES.inputOutput, `there is no ${program}; install iproute2`));
      else reject(new CniError(CODES.inputOutput, `${program}: ${stderr.trim() || error.message}`));
    });
  });
}
