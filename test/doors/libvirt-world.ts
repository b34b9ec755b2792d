/**
 * A world to try libvirt in: a real libvirtd with its own configuration, run directory and state, in a namespace that
 * stands for a host. Its guests have Debian's kernel and nothing else (test/support/guest.ts), and run by emulation.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { canRun } from '../netns/world.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { makeGuest, QEMU } from '../support/guest.ts';
import type { Netns } from '../support/netns.ts';
import { run, start, type CommandResult, type Running } from '../support/process.ts';
import { findTool, requireTools } from '../support/require.ts';
import { childOf, HostBox } from './host-box.ts';

const INTERVAL_MS = 200;
const USER = 'libvirt-qemu';

/** So that libvirtd needs no service, no user and no rights of files of this machine. */
const QEMU_CONF = `
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
stdio_handler = "file"
`;
const LIBVIRTD_CONF = `
auth_unix_ro = "none"
auth_unix_rw = "none"
`;

/**
 * What each guest does first: it asks for its address by DHCP, has the IPv6 address of its kernel's command line, and
 * serves on 80 and 8080. `/cgi-bin/ask?HOST,PORT,SECONDS` tells if it is answered there; `/cgi-bin/ticks` never ends.
 */
const SCRIPT = `
cat > /bin/bound <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev eth0
ip route add default via $router
END
chmod +x /bin/bound
for word in $(cat /proc/cmdline); do case $word in six=*) six=\${word#six=};; esac; done
ip link set lo up
echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set eth0 up
ip -6 address add $six/64 dev eth0
udhcpc -i eth0 -f -n -q -t 100 -T 1 -s /bin/bound
while ! ip -6 route show default | grep -q via; do sleep 1; done
mkdir -p /www/cgi-bin
echo guest > /www/index.html
cat > /www/cgi-bin/ask <<'END'
#!/bin/sh
printf '\\r\\n'
IFS=, ; set -- $QUERY_STRING
printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w "$3" "$1" "$2" | grep -q guest && echo answered || echo silence
END
cat > /www/cgi-bin/ticks <<'END'
#!/bin/sh
printf '\\r\\n'
n=0; while :; do n=$((n+1)); echo "tick $n"; sleep 1; done
END
chmod +x /www/cgi-bin/*
httpd -h /www -p 80
httpd -h /www -p 8080
echo serving
while :; do sleep 1000; done
`;

export interface Domain {
  readonly name: string;
  readonly ip6: string;
  /** The part of its description that is its network card, and what stands beside its devices. */
  readonly card: string;
  readonly more?: string;
}

export class LibvirtWorld {
  readonly folder: string;
  private readonly host: Netns;
  private box: HostBox | undefined;
  private libvirtd: Running | undefined;

  private constructor(host: Netns, folder: string) {
    this.host = host;
    this.folder = folder;
  }

  /** With libvirtd running in the namespace. Skips the test, and gives undefined, where that can't be. */
  static async make(t: TestContext, host: Netns): Promise<LibvirtWorld | undefined> {
    const tools = ['libvirtd', 'virsh', 'unshare', 'nsenter', 'nft'];
    if (!canRun(t) || !requireTools(t, ...tools)) return undefined;
    const files = makeGuest(t, SCRIPT);
    if (files === undefined) return undefined;
    const world = new LibvirtWorld(host, mkdtempSync(join(tmpdir(), 'sgt-libvirt-')));
    t.after(() => world.cleanUp());
    // Parts of this machine's folders are hidden from libvirtd.
    copyFileSync(files.kernel, world.path('kernel'));
    copyFileSync(files.initrd, world.path('initrd'));
    world.writeConfiguration();
    await world.makeBox();
    if (await world.startLibvirtd()) return world;
    t.skip(`libvirtd does not start here: ${world.libvirtd!.stderr().slice(-300)}`);
    return undefined;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** `virsh`, which must succeed. */
  async virsh(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryVirsh(...args);
    assert.equal(code, 0, `virsh ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async define({ name, ip6, card, more = '' }: Domain): Promise<void> {
    const file = this.path(`${name}.xml`);
    writeFileSync(
      file,
      `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>${name}</name>
  <memory unit='MiB'>192</memory>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>${this.path('kernel')}</kernel>
    <initrd>${this.path('initrd')}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 rdinit=/init six=${ip6}</cmdline>
  </os>
  <cpu mode='maximum'/>
  <devices>
    <emulator>${findTool(QEMU)!}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    ${card}
    <serial type='file'><source path='${this.path(`${name}.console`)}' append='on'/></serial>
  </devices>
  ${more}
</domain>
`,
    );
    await this.virsh('define', file);
  }

  /** How often a guest has come up, and what it has said. */
  console(name: string): { readonly boots: number; readonly text: string } {
    const text = readFileSync(this.path(`${name}.console`), 'utf8');
    return { boots: text.split(/^serving/m).length - 1, text };
  }

  /** @returns whether it could be started */
  async startLibvirtd(): Promise<boolean> {
    const libvirtd = await start(...this.box!.enter('libvirtd', '-p', '/run/libvirtd.pid'));
    this.libvirtd = libvirtd;
    let hasEnded = false;
    void libvirtd.ended.then(() => (hasEnded = true));
    for (const deadline = performance.now() + GUARD_MS; ; await sleep(INTERVAL_MS)) {
      if ((await this.tryVirsh('version')).code === 0) return true;
      if (hasEnded || performance.now() > deadline) return false;
    }
  }

  /** Its guests go on without it. */
  async stopLibvirtd(signal: NodeJS.Signals): Promise<void> {
    process.kill(childOf(this.libvirtd!.pid), signal);
    await this.libvirtd!.ended;
  }

  private tryVirsh(...args: readonly string[]): Promise<CommandResult> {
    const command = ['virsh', '-c', 'qemu:///system', ...args];
    return run(...this.box!.enter(...command));
  }

  private writeConfiguration(): void {
    mkdirSync(this.path('etc'));
    writeFileSync(this.path('etc/qemu.conf'), QEMU_CONF);
    writeFileSync(this.path('etc/libvirtd.conf'), LIBVIRTD_CONF);
    // libvirtd looks for the user whom its service package makes, also where another is configured.
    const lines = { passwd: `${USER}:x:64055:64055::/:/bin/false`, group: `${USER}:x:64055:` };
    for (const [file, line] of Object.entries(lines)) {
      const text = readFileSync(`/etc/${file}`, 'utf8');
      const added = new RegExp(`^${USER}:`, 'm').test(text) ? '' : `${line}\n`;
      writeFileSync(this.path(file), `${text}${added}`);
    }
  }

  private async makeBox(): Promise<void> {
    const { folder } = this;
    this.box = await HostBox.make(this.host, [
      'mkdir /run/libvirt',
      'for hidden in /var/lib /var/cache /var/log; do mount -t tmpfs hidden $hidden; done',
      `mount --bind ${folder}/etc /etc/libvirt`,
      `mount --bind ${folder}/passwd /etc/passwd`,
      `mount --bind ${folder}/group /etc/group`,
    ]);
  }

  private async cleanUp(): Promise<void> {
    this.box?.end();
    await this.libvirtd?.ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
