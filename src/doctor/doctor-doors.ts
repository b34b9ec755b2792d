/** This check of `secgroupd doctor` says which containers and virtual machines get round the service that runs. */
import { DEFAULT_SOCKET } from '../control-socket/control-client.ts';
import { ownerText, type Facts } from '../doors/survey/facts.ts';
import type { Finding } from '../doors/survey/finding.ts';
import { judge } from '../doors/survey/judge.ts';
import { survey } from '../doors/survey/survey.ts';
import { loadNative } from '../ports/native.ts';
import { printable } from '../source/excerpt.ts';
import { listFirst } from '../source/suggest.ts';
import type { Check } from './doctor-check.ts';

const NAMES_SHOWN = 5;
const MORE = 'sgctl doors';

/** @returns no check without the addon: another one says that it is missing */
export async function checkDoors(): Promise<Check[]> {
  let native;
  try {
    native = loadNative();
  } catch {
    return [];
  }
  try {
    return [doorsCheck(await survey(native, [DEFAULT_SOCKET]))];
  } catch (error) {
    return [unread(error instanceof Error ? error.message : String(error))];
  }
}

export function doorsCheck(facts: Facts): Check {
  // Before the service runs nothing is guarded, and nobody expects it to be.
  if (facts.daemons.every(({ state }) => state === 'absent'))
    return { name: 'doors', status: 'ok', found: `the service does not run; see ${MORE}` };
  const findings = judge(facts);
  const open = findings.filter(({ verdict }) => verdict === 'unguarded');
  if (open.length > 0)
    return {
      name: 'doors',
      status: 'warn',
      found: `not guarded: ${namesOf(open)}`,
      means: 'what they send and what reaches them passes no group',
      mend: [...new Set(open.map(({ mend }) => mend))].join('; '),
    };
  const silent = facts.daemons.find(({ state }) => state === 'unknown');
  if (silent !== undefined) return unread(`${silent.socket}: ${silent.reason ?? 'no answer'}`);
  const unknown = findings.filter(({ verdict }) => verdict === 'unknown');
  if (unknown.length > 0) return unread(`not known whether guarded: ${namesOf(unknown)}`);
  const [first] = facts.unread;
  if (first !== undefined) return unread(`not looked at: ${first.what}: ${first.reason}`);
  const found = 'no container and no virtual machine gets round the groups';
  return { name: 'doors', status: 'ok', found };
}

function unread(found: string): Check {
  return {
    name: 'doors',
    status: 'warn',
    found: printable(found),
    means: 'some may get round the groups',
    mend: `look as root: sudo ${MORE}`,
  };
}

function namesOf(findings: readonly Finding[]): string {
  const names = findings.map(({ owner, device }) =>
    [ownerText(owner), device].filter((word) => word !== undefined).join(' '),
  );
  // Strangers choose the names of processes and devices.
  return printable(listFirst(names, NAMES_SHOWN));
}
