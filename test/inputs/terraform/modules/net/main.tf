variable "group" { type = string }
variable "subnet" { type = string }
resource "aws_network_interface" "this" {
  subnet_id       = var.subnet
  security_groups = [var.group]
}
resource "aws_vpc_security_group_ingress_rule" "odd" {
  security_group_id = var.group
  ip_protocol       = "tcp"
  from_port         = 9
  to_port           = 9
  cidr_ipv4         = "0.0.0.0/0"
}
