variable "vpc_id" { type = string }
variable "tiers" { type = map(number) }
resource "aws_security_group" "this" {
  for_each = var.tiers
  name     = each.key
  vpc_id   = var.vpc_id
}
output "ids" { value = { for k, g in aws_security_group.this : k => g.id } }
output "any" { value = values(aws_security_group.this)[0].id }
