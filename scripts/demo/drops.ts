/** The daemon's drop counters, read from /metrics as Prometheus would. */
import type { Config } from '../../src/config/config.ts';
import { formatTable } from '../../src/cli/output.ts';

const METRIC = 'secgroupd_dropped_packets_total';
const FETCH_TIMEOUT_MS = 3000;

export interface Drop {
  readonly interface: string;
  readonly direction: string;
  readonly reason: string;
  readonly packets: number;
}

/** Throws if nothing listens there, or the answer is no success. */
export async function readMetrics(metrics: Config['metrics']): Promise<string> {
  if (metrics === undefined) throw new Error('the configuration has no metrics');
  const host = metrics.host.includes(':') ? `[${metrics.host}]` : metrics.host;
  const url = `http://${host}:${metrics.port}/metrics`;
  const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.text();
}

/** The drop counters that are not 0, in the order of the text. */
export function parseDrops(text: string): readonly Drop[] {
  const drops: Drop[] = [];
  for (const line of text.split('\n')) {
    const match = /^([a-z_]+)\{(.*)\} (\S+)$/.exec(line);
    if (match === null || match[1] !== METRIC) continue;
    const labels = new Map<string, string>();
    for (const [, key = '', value = ''] of match[2].matchAll(/([a-z_]+)="([^"]*)"/g)) {
      labels.set(key, value);
    }
    const packets = Number(match[3]);
    if (packets === 0) continue;
    drops.push({
      interface: labels.get('interface') ?? '',
      direction: labels.get('direction') ?? '',
      reason: labels.get('reason') ?? '',
      packets,
    });
  }
  return drops;
}

export function formatDrops(text: string): string {
  const drops = parseDrops(text);
  if (drops.length === 0) return '(no drops counted)';
  return formatTable(
    ['INTERFACE', 'DIRECTION', 'REASON', 'PACKETS'],
    drops.map((drop) => [drop.interface, drop.direction, drop.reason, String(drop.packets)]),
  );
}
