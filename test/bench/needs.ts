/** What the loads need of the machine, told all at once before anything is set up. */
import { existsSync } from 'node:fs';
import { findTool } from '../support/require.ts';

/** @throws Error that names everything that is missing */
export function requireNothingMissing(usesIperf: boolean): void {
  const tools = ['cc', 'ip', 'sysctl', ...(usesIperf ? ['iperf3'] : [])];
  const missing = tools.filter((tool) => findTool(tool) === undefined);
  if (process.getuid?.() !== 0) missing.push('root');
  if (!existsSync('/dev/net/tun')) missing.push('/dev/net/tun');
  if (missing.length > 0)
    throw new Error(`needs ${missing.join(', ')}; without, only '--only decision' can be measured`);
}
