/** This file keeps settings of the reader in the browser. A browser that keeps nothing is no fault. */

const PREFIX = 'secgroupd-console-';

/** What was kept under a name; undefined: nothing. */
export function readKept(name: string): string | undefined {
  try {
    return localStorage.getItem(PREFIX + name) ?? undefined;
  } catch {
    return undefined;
  }
}

export function writeKept(name: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // It is full, or switched off: the next visit begins anew.
  }
}
