module github.com/edictum/edictum-guard-go

go 1.24
