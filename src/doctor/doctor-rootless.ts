/** This check of `secgroupd doctor` says whether users who are not root can use `sgctl run` here. */
import { missingForRun } from '../run/needs.ts';
import type { Check } from './doctor-check.ts';

export function checkRootless(missing = missingForRun(true)): Check {
  if (missing.length === 0)
    return { name: 'rootless', status: 'ok', found: 'users can use `sgctl run`' };
  return {
    name: 'rootless',
    status: 'warn',
    found: missing.map(({ found }) => found).join('; '),
    means: '`sgctl run` is not for users here; nothing else needs this',
    mend: missing.map(({ mend }) => mend).join('; '),
  };
}
