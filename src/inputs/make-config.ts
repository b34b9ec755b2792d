/**
 * Makes a configuration of a model that came from elsewhere: everything that no plan and no account says is as in a
 * file that does not say it, on a platform that has AWS's services and a way to the outside.
 */
import type { Config, DeviceConfig } from '../config/config.ts';
import { buildConfig } from '../config/load-config.ts';
import { PLATFORM_SERVICES } from '../config/platform-services.ts';
import type { NetworkInterface, PolicyModel } from '../policy/model.ts';
import { parseDocument } from '../source/yaml.ts';

const NETNS_CHARS_MAX = 60;
/** The stranger's addresses are of blocks that nobody uses. Sources: RFC 5737, RFC 3849. */
export const UPLINK_ADDRESSES = ['198.51.100.7/24', '2001:db8:51::7/64'];

/** The uplink and the services of an input's network, as a configuration has them. */
export const UPLINK = { tun: 'sg-uplink', netns: 'outside', addresses: UPLINK_ADDRESSES };

export function makeConfig(file: string, model: PolicyModel, netnsDirectory: string): Config {
  const text = JSON.stringify({
    uplink: UPLINK,
    platformServices: PLATFORM_SERVICES,
    interfaces: {},
  });
  const { config } = buildConfig(file, parseDocument(file, text, [])!, { netnsDirectory });
  if (config === undefined) throw new Error('the configuration of every input is not valid');
  const names = namespacesOf([...model.interfaces.values()]);
  return {
    ...config,
    model,
    interfaces: [...model.interfaces.values()].map(({ id, name, origin }) => ({
      ...{ id, name, maxFlows: undefined, subnets: [] },
      device: makeDevice(names.get(id)!, netnsDirectory, origin),
    })),
  };
}

function makeDevice(
  netns: string,
  netnsDirectory: string,
  origin: DeviceConfig['origin'],
): DeviceConfig {
  return {
    ...{ kind: 'tun', name: 'eth0', netns, netnsPath: `${netnsDirectory}/${netns}`, mtu: 1500 },
    ...{ configure: true, persist: false, dhcp: false, origin },
  };
}

/** A namespace for each interface, by its id: its name as far as one may be called so. */
export function namespacesOf(interfaces: readonly NetworkInterface[]): ReadonlyMap<string, string> {
  const taken = new Set([UPLINK.netns]);
  return new Map(
    interfaces.map(({ id, name }) => {
      const plain = name
        .replace(/^.*\.(?=[A-Za-z_])/, '')
        .replace(/[^A-Za-z0-9_-]+/g, '-')
        .replace(/^-+|-+$/g, '')
        .slice(0, NETNS_CHARS_MAX);
      const stem = /^(?:\d*|)$/.test(plain) ? `i-${plain}` : plain;
      let netns = stem;
      for (let i = 2; taken.has(netns); i++) netns = `${stem}-${i}`;
      taken.add(netns);
      return [id, netns];
    }),
  );
}
