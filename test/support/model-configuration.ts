/** Writes a model of tests as a configuration that the daemon reads. JSON is YAML, too. */
import type { ModelText } from './policy.ts';

/**
 * @param deviceOf the device of an interface
 * @param more further keys
 */
export function configurationText(
  { groups, prefixLists = {}, interfaces }: ModelText,
  deviceOf: (name: string) => object,
  more: object = {},
): string {
  return JSON.stringify({
    ...more,
    prefixLists: mapValues(prefixLists, (cidrs) => ({ entries: cidrs.map((cidr) => ({ cidr })) })),
    securityGroups: mapValues(groups, ({ ingress = [], egress, revocation }) => ({
      ingress: ingress.map(ruleOf),
      ...(egress === undefined ? {} : { egress: egress.map(ruleOf) }),
      ...(revocation === undefined ? {} : { revocation }),
    })),
    interfaces: Object.fromEntries(
      Object.entries(interfaces).map(([name, one]) => [
        name,
        {
          device: deviceOf(name),
          addresses: one.addresses,
          securityGroups: one.groups,
          sourceDestCheck: one.sourceDestCheck ?? true,
          connectionTracking: { always: one.alwaysTracked ?? false },
        },
      ]),
    ),
  });
}

function mapValues<Value>(
  from: Readonly<Record<string, Value>>,
  make: (value: Value) => object,
): Readonly<Record<string, object>> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, make(value)]));
}

/** `tcp 80-90 from CIDR`, `icmp 8/-1 to sg:GROUP`, `47 from pl:LIST`, as test/support/policy.ts has them. */
function ruleOf(text: string): object {
  const words = text.split(' ');
  const [protocol, what] = words;
  const [way, peer] = words.slice(-2);
  const rule = { protocol: /^\d+$/.test(protocol) ? Number(protocol) : protocol, [way]: peer };
  if (protocol === 'tcp' || protocol === 'udp') return { ...rule, ports: what };
  if (protocol !== 'icmp' && protocol !== 'icmpv6') return rule;
  const [type, code] = what.split('/').map((number) => (number === '-1' ? 'all' : Number(number)));
  return { ...rule, type, code };
}
