/** This file tells which texts are MAC addresses of hosts. */

/** @param text in lower case */
export function isMacOfHost(text: string): boolean {
  // The lowest bit of the first byte marks a group of hosts.
  return /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(text) && !/^[0:]+$/.test(text);
}
