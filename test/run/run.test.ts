/** `sgctl run` with real packets, as a user who is not root. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { uniqueName } from '../support/netns.ts';
import { signalUnlessEnded } from '../support/process.ts';
import { GATEWAY, hasRunNeeds, HOST, RunWorld, SERVER, USER } from './run-world.ts';

/** For curl: what is dropped takes this long; what is let through may take longer. */
const IN_VAIN = '2';
const LONG = '60';

function lines(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

test('sgctl run', async (t) => {
  if (!hasRunNeeds(t)) return;
  const world = await RunWorld.make(t);

  await t.test('reaches what its group admits, by name, and nothing else', async () => {
    const code = (limit: string, url: string): string =>
      `$(curl -s -o /dev/null -w '%{http_code}' -m ${limit} ${url})`;
    const script = `
      echo "admitted=${code(LONG, 'http://server.test:8080/')}" &
      echo "admitted6=${code(LONG, 'http://six.test:8080/')}" &
      echo "ping=$(ping -c 1 -W ${LONG} -w ${LONG} ${SERVER} > /dev/null 2>&1; echo $?)" &
      echo "port=${code(IN_VAIN, `http://${SERVER}:8081/`)}" &
      echo "gateway=${code(IN_VAIN, `http://${GATEWAY}:9090/`)}" &
      echo "metadata=${code(IN_VAIN, 'http://169.254.169.254/')}" &
      echo "loopback=${code(LONG, 'http://127.0.0.1:9090/')}" &
      echo "loopback6=${code(LONG, 'http://[::1]:9090/')}" &
      wait
      exit 7`;
    const { code: exitCode, stdout, stderr } = await world.run(['sh', '-c', script]);
    assert.deepEqual(
      lines(stdout),
      {
        ...{ admitted: '200', admitted6: '200', ping: '0' },
        ...{ port: '000', gateway: '000', metadata: '000', loopback: '000', loopback6: '000' },
      },
      stderr,
    );
    assert.equal(exitCode, 7);
    assert.match(
      stderr,
      /^sgctl: \d+ packets? to 203\.0\.113\.5:8081\/tcp dropped: no egress rule of web admits it$/m,
    );
    assert.match(
      stderr,
      /^sgctl: \d+ packets? to 198\.51\.100\.1:9090\/tcp dropped: no egress rule of web admits it$/m,
    );
    assert.match(stderr, /^sgctl: \d+ packets? to 169\.254\.169\.254:80\/tcp dropped: no-route: /m);
    assert.equal(stderr.trimEnd().split('\n').length, 3, stderr);
  });

  await t.test('whatever its group admits, it is the user, and can not get out', async () => {
    const inRun = `/run/${uniqueName()}`;
    writeFileSync(inRun, '');
    const root = 'unshare --user --map-root-user --mount';
    const script = `
      echo "open=$(curl -s -o /dev/null -w '%{http_code}' -m ${LONG} http://${GATEWAY}:9090/)"
      echo "host=$(curl -s -o /dev/null -w '%{http_code}' -m ${LONG} http://${HOST}:9090/)"
      echo "id=$(id -u):$(id -g)"
      echo "capabilities=$(grep -h CapEff /proc/self/status | tr -d '\\t')"
      echo "run=$(test -e ${inRun} && echo seen)"
      echo "uncovered=$(${root} sh -c 'umount /run && echo yes' 2>/dev/null)"
      echo "daemon=$(cat /proc/[0-9]*/cmdline | grep -c 'main[.]js')"
      for pid in $(seq 1 60); do
        nsenter --net=/proc/$pid/ns/net ip link show sgup > /dev/null 2>&1 && echo "entered=$pid"
      done
      echo "routes=$(ip route add 192.0.2.0/24 dev lo 2>/dev/null && echo changed)"
      echo "nested=$(${root} ip link set eth0 down 2>/dev/null && echo changed)"`;
    try {
      const args = ['--config', world.file, '--group', 'default', '--quiet', '--'];
      const { stdout, stderr } = await world.sgctl([...args, 'sh', '-c', script]);
      assert.deepEqual(
        lines(stdout),
        {
          ...{ open: '200', host: '000', id: `${USER}:${USER}` },
          ...{ capabilities: 'CapEff:0000000000000000', run: '', uncovered: '', daemon: '0' },
          ...{ routes: '', nested: '' },
        },
        stderr,
      );
      assert.equal(stderr, '');
    } finally {
      rmSync(inRun, { force: true });
    }
  });

  await t.test(
    'standard input and output, the environment and the folder are untouched',
    async () => {
      const input = randomBytes(300_000).toString('base64');
      const env = { PATH: '/usr/bin:/bin', SGT_RUN: world.mark, ODD: 'a=b\n c', EMPTY: '' };
      const script = 'env -u OLDPWD -0 | sort -z | tr "\\0" "|"; pwd; cat; echo said >&2';
      const { stdout, stderr, code } = await world.run(['sh', '-c', script], { input, env });
      const own = `EMPTY=|ODD=a=b\n c|PATH=/usr/bin:/bin|PWD=/|SGT_RUN=${world.mark}|`;
      assert.equal(stdout.slice(0, own.length + 2), `${own}/\n`);
      assert.equal(stdout.slice(own.length + 2), input);
      assert.equal(stderr, 'said\n');
      assert.equal(code, 0);
    },
  );

  await t.test('a terminal stays one, and its Ctrl-C reaches the command', async () => {
    const sgctl = world.startOnTerminal(
      `test -t 0 && test -t 1 && echo terminal; trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.1; done`,
    );
    await sgctl.waitFor(/terminal\r?\nready/);
    sgctl.type('\x03');
    await sgctl.waitFor(/caught/);
    assert.equal((await sgctl.ended).code, 5);
    await world.assertGone();
  });

  await t.test('signals are passed on, and what it leaves behind ends with it', async () => {
    const caught = await world.start([
      ...['sh', '-c'],
      'setsid sleep 1000 & trap "echo caught; exit 9" TERM; echo ready; while :; do sleep 0.1; done',
    ]);
    await caught.waitFor(/ready/);
    signalUnlessEnded(caught.pid, 'SIGTERM');
    assert.equal((await caught.ended).code, 9);
    assert.match(caught.stdout(), /caught/);
    await world.assertGone();
    const ended = await world.start(['sh', '-c', 'echo ready; exec sleep 1000']);
    await ended.waitFor(/ready/);
    signalUnlessEnded(ended.pid, 'SIGUSR1');
    assert.equal((await ended.ended).code, 128 + 10);
  });

  await t.test('when sgctl is killed, nothing is left', async () => {
    const sgctl = await world.start([
      'sh',
      '-c',
      'setsid sleep 1000 & echo ready; exec sleep 1000',
    ]);
    await sgctl.waitFor(/ready/);
    const names = world.processes().flatMap(({ words }) => words[0] ?? []);
    assert.ok(
      names.some((name) => name.endsWith('pasta')),
      names.join(' '),
    );
    signalUnlessEnded(sgctl.pid, 'SIGKILL');
    await world.assertGone();
  });

  await t.test('when the daemon dies, the command has no network', async () => {
    const fetch = `curl -s -o /dev/null -w '%{http_code}\\n' -m ${LONG} http://${SERVER}:8080/`;
    const script = `${fetch}; read line; ${fetch}; ip -o link | wc -l; exec no-such-command`;
    const sgctl = world.startOnTerminal(script);
    await sgctl.waitFor(/200/);
    const daemon = world
      .processes()
      .find(({ words }) => words.some((word) => word.endsWith('/main.js')));
    assert.ok(daemon !== undefined);
    signalUnlessEnded(daemon.pid, 'SIGKILL');
    await sgctl.waitFor(/sgctl: the daemon has ended: the command has no network any more/);
    sgctl.type('\n');
    assert.equal((await sgctl.ended).code, 127);
    assert.match(sgctl.stdout(), /000\r?\n1\r?\n/);
  });

  await t.test('what is missing or wrong is said, and the command is not run', async () => {
    const file = ['--config', world.file];
    for (const [args, code, text] of [
      [[...file, '--', 'echo', 'no'], 2, /^error: --group is missing: /],
      [
        [...file, '--group', 'wbe', '--', 'echo', 'no'],
        125,
        /there is no security group 'wbe'; did you mean 'web'\?/,
      ],
      [
        [...file, '--group', 'web', '--address', '1.2.3', '--', 'echo', 'no'],
        125,
        /'1\.2\.3' is not an IP address/,
      ],
      [['--config', '/nowhere.yaml', '--group', 'web', '--', 'echo', 'no'], 125, /nowhere\.yaml/],
    ] as const) {
      const result = await world.sgctl(args);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, text);
      assert.equal(result.stdout, '');
    }
    await world.host.mustRun('ip', ['route', 'del', 'default']);
    await world.host.mustRun('ip', ['-6', 'route', 'del', 'default']);
    const noWay = await world.run(['echo', 'no']);
    assert.equal(noWay.code, 125);
    assert.match(noWay.stderr, /^sgctl: this host has no default route, so there is no way out/);
  });
});
