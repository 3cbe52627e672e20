"""Roles as permissions."""

from rest_framework.permissions import BasePermission


class IsManager(BasePermission):
    message = "Only a manager may decide about orders."

    def has_permission(self, request, view):
        return request.user.has_role("manager")


class IsFinance(BasePermission):
    message = "Only finance may pay orders."

    def has_permission(self, request, view):
        return request.user.has_role("finance")
