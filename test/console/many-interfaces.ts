/** Configurations with many interfaces, for tests of the map. */

/**
 * Groups behind each other as in a company, with interfaces in them.
 * @param kinds at most 60,000 groups, each reached by the one of a third of its number
 * @param ofAKind at most 250 interfaces in each
 */
export function manyInterfaces(kinds: number, ofAKind: number): string {
  const groups: string[] = [];
  const interfaces: string[] = [];
  for (let kind = 0; kind < kinds; kind++) {
    const from = kind === 0 ? '0.0.0.0/0' : `sg:service-${Math.floor((kind - 1) / 3)}`;
    groups.push(
      `  service-${kind}:\n    ingress: [{ protocol: tcp, ports: ${2000 + kind}, from: '${from}' }]`,
    );
    for (let i = 0; i < ofAKind; i++) {
      const device = `{ kind: tun, netns: n-${kind}-${i}, name: eth0 }`;
      const address = `10.${kind >> 8}.${kind & 255}.${i + 1}`;
      interfaces.push(
        `  eni-${kind}-${i}: { device: ${device}, addresses: [${address}], securityGroups: [service-${kind}] }`,
      );
    }
  }
  return `securityGroups:\n${groups.join('\n')}\ninterfaces:\n${interfaces.join('\n')}\n`;
}
