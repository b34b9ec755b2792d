/** What stands for a virtual machine's own set-up: a namespace whose eth0 test/bench/native/guest-card.c has made. */
import type { LinkEnd } from '../../support/netns.ts';

export async function setAddresses({ netns, interfaceName, addresses }: LinkEnd): Promise<void> {
  for (const address of addresses)
    await netns.mustRun('ip', ['address', 'add', address, 'dev', interfaceName]);
  await netns.mustRun('ip', ['link', 'set', interfaceName, 'up']);
}
