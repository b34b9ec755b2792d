/**
 * This file decides whose requests are answered at all, before the token is asked for.
 *
 * Theory of operation
 *
 * Problem. The console mostly listens on loopback, where every page that the user's browser shows can send requests. A
 * foreign page must neither read answers, nor have something done, nor learn that the console is there by what it is
 * told.
 *
 * - DNS rebinding: a foreign name that suddenly has the console's address makes a foreign page one of our origin, as
 *   the browser sees it. Its requests have the foreign name in `Host`, and are refused. With TLS the names are those of
 *   the certificate.
 * - Cross-site requests: browsers say in `Origin` and `Sec-Fetch-Site` where a request comes from. All but our own
 *   page is refused. A program that is no browser sends neither, and needs the token as everybody does.
 * - The token is in a header that no form and no link can send, and a foreign page can only after asking (CORS
 *   preflight), which is never allowed: OPTIONS is no method here.
 *
 * A link to the page from elsewhere, as from a terminal in a browser, is fine: the page itself tells nothing.
 */
import type { X509Certificate } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** What is wrong with a request; undefined: nothing. */
export type Refusal =
  { readonly status: 403; readonly error: string; readonly hint: string } | undefined;

/** Where the console is. */
export interface Place {
  readonly port: number;
  /** By what it is called, in lower case, without a port; addresses of IPv6 in brackets. */
  readonly isOurName: (name: string) => boolean;
  readonly isTls: boolean;
  /** How to get to the page. */
  readonly hint: string;
}

const LOOPBACK_NAMES = ['127.0.0.1', 'localhost', '[::1]'];
const PORTS = { http: 80, https: 443 } as const;
const HOST = /^([^:[\]/@]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/;

/** Names of this machine for itself, the address that is listened on, and the names of a certificate. */
export function namesOf(
  own: string,
  certificate?: Pick<X509Certificate, 'checkHost' | 'checkIP'>,
): Place['isOurName'] {
  const listened = isIP(own) === 6 ? `[${own}]` : own;
  return (name) => {
    if (LOOPBACK_NAMES.includes(name) || name === listened) return true;
    if (certificate === undefined) return false;
    const address = name.replace(/^\[(.*)\]$/, '$1');
    return isIP(address) === 0
      ? certificate.checkHost(name) !== undefined
      : certificate.checkIP(address) !== undefined;
  };
}

export function checkOrigin(headers: IncomingHttpHeaders, place: Place, isPage: boolean): Refusal {
  const { host = '', origin } = headers;
  const { hint } = place;
  const scheme = place.isTls ? 'https' : 'http';
  const [, name, port = PORTS[scheme]] = HOST.exec(host.toLowerCase()) ?? [];
  if (name === undefined || Number(port) !== place.port || !place.isOurName(name))
    return refuse('the request is for another host', hint);
  if (origin !== undefined && origin !== `${scheme}://${host.toLowerCase()}`)
    return refuse('the request comes from another page', hint);
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return undefined;
  const isLink =
    headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  return isPage && isLink ? undefined : refuse('the request comes from another page', hint);
}

function refuse(error: string, hint: string): Refusal {
  return { status: 403, error, hint };
}
