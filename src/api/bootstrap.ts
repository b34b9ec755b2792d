/**
 * What `cdk bootstrap` leaves behind in an account of AWS, by the names that the CDK's default synthesizer gives it:
 * roles, a bucket for assets, and the version. It is there from the start here, in every account and in the region of
 * the server.
 */
import type { Policy } from './action.ts';

const QUALIFIER = 'hnb659fds';
/** Of the bootstrap template of the CDK. What asks for a newer one is told so by the CDK. */
export const BOOTSTRAP_VERSION = '33';
export const VERSION_PARAMETER = `/cdk-bootstrap/${QUALIFIER}/version`;

/** The roles, and what a session with one may do at most. */
const ROLES: Readonly<Record<string, Policy>> = {
  deploy: 'write',
  'file-publishing': 'write',
  'image-publishing': 'write',
  lookup: 'read',
};

export function assetsBucket(accountId: string, region: string): string {
  return `cdk-${QUALIFIER}-assets-${accountId}-${region}`;
}

/** How the names of all such buckets begin. */
export const BUCKET_PREFIX = assetsBucket('', '').slice(0, -1);

export interface Role {
  readonly name: string;
  readonly policy: Policy;
}

/** The role that an ARN names; undefined: it is none of this account and region. */
export function roleOf(arn: string, accountId: string, region: string): Role | undefined {
  for (const [kind, policy] of Object.entries(ROLES)) {
    const name = `cdk-${QUALIFIER}-${kind}-role-${accountId}-${region}`;
    if (arn === `arn:aws:iam::${accountId}:role/${name}`) return { name, policy };
  }
  return undefined;
}
