/** Finds AWS's provider for Terraform on this machine: a test downloads nothing. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export const PROVIDER = 'registry.terraform.io/hashicorp/aws';
/** Folders in which one with providers may be, as Terraform's filesystem_mirror takes them. */
const MIRRORS = ['/usr/local/share/terraform', '/usr/share/terraform', '/opt'];

/** What a test says that needs it. */
export const NEEDS_PROVIDER = `needs the provider ${PROVIDER} in a mirror (TF_PLUGIN_MIRROR names one)`;

/** The settings (`TF_CLI_CONFIG_FILE`) by which Terraform takes it from where it is; undefined: it is not here. */
export function terraformSettings(): string | undefined {
  const named = process.env['TF_PLUGIN_MIRROR'];
  const below = MIRRORS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder).map((name) => join(folder, name)),
  );
  const folders = [...(named === undefined ? [] : [named]), ...below];
  const mirror = folders.find((folder) => existsSync(join(folder, PROVIDER)));
  if (mirror === undefined) return undefined;
  return `disable_checkpoint = true
provider_installation {
  filesystem_mirror {
    path = "${mirror}"
  }
}
`;
}
