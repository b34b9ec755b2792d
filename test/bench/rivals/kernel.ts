/** The rival "kernel": a namespace that routes, with nftables and conntrack in its forward chain. */
import { connect, makeNetns, type LinkEnd } from '../../support/netns.ts';
import type { Bench } from '../bench.ts';
import { FIRST_PORT, LAST_PORT, makeEnds, type Rival } from './rival.ts';

const CLIENT = '10.1.0.2';
const SERVER = '10.2.0.2';

const RULESET = `
table ip filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ct state invalid drop
    ip saddr ${CLIENT} ip daddr ${SERVER} tcp dport ${FIRST_PORT}-${LAST_PORT} accept
    ip saddr ${CLIENT} ip daddr ${SERVER} udp dport ${FIRST_PORT}-${LAST_PORT} accept
  }
}
`;

/** @param link how the client is joined to the router: by a veth pair, unless it is a virtual machine */
export async function startKernel(
  bench: Bench,
  link: (client: LinkEnd, router: LinkEnd) => Promise<void> = connect,
): Promise<Rival> {
  const { client, server } = await makeEnds(bench);
  const router = await makeNetns(bench.scope);
  await link(
    { netns: client, interfaceName: 'eth0', addresses: [`${CLIENT}/24`] },
    { netns: router, interfaceName: 'client', addresses: ['10.1.0.1/24'] },
  );
  await connect(
    { netns: server, interfaceName: 'eth0', addresses: [`${SERVER}/24`] },
    { netns: router, interfaceName: 'server', addresses: ['10.2.0.1/24'] },
  );
  await client.mustRun('ip', ['route', 'add', 'default', 'via', '10.1.0.1']);
  await server.mustRun('ip', ['route', 'add', 'default', 'via', '10.2.0.1']);
  await router.mustRun('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=1']);
  await router.mustRun('nft', ['-f', '-'], { input: RULESET });
  bench.collector.tools['nft'] = (await router.mustRun('nft', ['--version'])).trim();
  return {
    name: 'kernel',
    client,
    server,
    clientAddress: CLIENT,
    serverAddress: SERVER,
    refuses: true,
  };
}
