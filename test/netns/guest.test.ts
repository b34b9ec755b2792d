/**
 * A virtual machine with a stock kernel on an attached TAP: nothing in it is configured, it gets its address by DHCP, and
 * its groups hold.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeGuest, startGuest } from '../support/guest.ts';
import { requireTools } from '../support/require.ts';
import { canRun, Daemon, get, LOOK_S, makeNamespaces, pingInVain, temporaryFile } from './world.ts';

const GUEST = '10.0.0.11';
const GUEST_6 = 'fd00:10::11';
const MAC = '02:00:00:00:00:11';

const SCRIPT = `
cat > /bin/bound <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip link set eth0 mtu $mtu
ip address add $ip/$mask dev eth0
ip route add default via $router
echo "bound $ip/$mask $router $mtu $dns"
END
chmod +x /bin/bound
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -f -n -q -t 100 -T 1 -s /bin/bound
while ! ip -6 route show default | grep -q via; do sleep 1; done
ip -6 route show default | sed 's/^/six /'
mkdir /www
echo guest > /www/index.html
httpd -h /www -p 80
httpd -h /www -p 8080
echo serving
while :; do sleep 1000; done
`;

test('a virtual machine on an attached TAP', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft')) return;
  const files = makeGuest(t, SCRIPT);
  if (files === undefined) return;
  const { host, world } = await makeNamespaces(t, ['host', 'world']);
  await host.mustRun('ip', ['tuntap', 'add', 'dev', 'vm1', 'mode', 'tap', 'vnet_hdr']);
  await host.mustRun('ip', ['link', 'set', 'vm1', 'mtu', '1400', 'up']);
  const file = temporaryFile(
    t,
    'guest.yaml',
    `
vpc: { cidrBlocks: [10.0.0.0/16], subnets: [10.0.0.0/24] }
uplink: { tun: up0, netns: ${world.path}, addresses: [198.51.100.7/24] }
platformServices: [dns]
securityGroups:
  web: { ingress: [{ protocol: tcp, ports: 80, from: 198.51.100.7/32 }], egress: [] }
interfaces:
  vm: { device: { kind: attach, netns: ${host.path}, name: vm1 }, addresses: [${GUEST}, '${GUEST_6}'], securityGroups: [web] }
metrics: { listen: '127.0.0.1:0' }
`,
  );
  const daemon = await Daemon.start(t, file);
  const guest = await startGuest(
    host,
    files,
    'tap,ifname=vm1,script=no,downscript=no,vhost=off',
    MAC,
  );
  await guest.waitFor(/^serving/m);
  assert.match(guest.stdout(), /^bound 10\.0\.0\.11\/24 10\.0\.0\.1 1400 10\.0\.0\.2\r?$/m);
  assert.match(guest.stdout(), /^six default via fe80::73:67ff:fe00:1 dev eth0 /m);
  let text = '';
  for (let looks = 0; text === '' && looks < 100; looks++) text = await get(world, GUEST, LOOK_S);
  assert.equal(text, 'guest\n', 'an admitted port answers');
  const drops = await daemon.dropsDuring(async () => {
    assert.equal(await get(world, `${GUEST}:8080`, 2), '', 'another port does not');
    await pingInVain(world, GUEST);
  });
  assert.deepEqual(Object.keys(drops), ['vm ingress ingress-rules']);
});
